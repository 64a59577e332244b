"""`kobitnet serve`: an OpenAI-compatible server for one model on this machine, with a small chat page.

HTTP is starlette on uvicorn with h11: both are pure Python and widely run, h11 is strict about what a request is, and
uvicorn's flow control keeps a slow reader from filling memory. The model runs in worker threads; the engine needs no torch.
"""
