"""Questions put to the admins, with one decision ever; the desk."""
