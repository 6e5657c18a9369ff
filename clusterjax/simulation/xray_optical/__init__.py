"""The simulated X-ray and optical sky: XMM-Newton counts images beside photographic plates, with truth."""
