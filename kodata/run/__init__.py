"""House tools shared by all three packages: errors, run folders, progress, recipes and the command-line app."""
