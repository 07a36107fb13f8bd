"""The commands: a file each. They parse arguments, show progress and call the library."""
