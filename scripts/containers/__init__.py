"""How the image is built: by which engine, on what, and with which settings of pip."""
