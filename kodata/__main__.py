from kodata.cli import main

main()
