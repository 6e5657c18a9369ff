"""Labels from many volunteers' votes: reading them, weighing them, and how far each volunteer can be trusted."""
