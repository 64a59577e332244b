"""The cleaning run: plan, units, executors, numbers. `clean` is the verb and the library function."""

from kodata.pipeline.clean import CleanConfig, clean

__all__ = ["CleanConfig", "clean"]
