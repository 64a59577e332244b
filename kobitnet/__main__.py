from kobitnet.cli import main

main()
