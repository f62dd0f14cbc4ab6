"""Reading recipes out of image files of this and other programs, bounded in time and memory whatever the files hold."""
