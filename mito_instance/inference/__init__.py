"""From a page of pixels to its instances, whatever the page's size and the model behind."""
