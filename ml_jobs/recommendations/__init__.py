"""Item-to-item recommendations from purchases and views, blended with the person's own repeat purchases."""
