"""Ways to look into a network: Grad-CAM, occlusion, attributions, activations, filters."""
