from kotok.cli import main

main()
