"""DreamVideo-2 on diffusers: the model of Fig. 2, its base, its loss, and how it is made fast."""
