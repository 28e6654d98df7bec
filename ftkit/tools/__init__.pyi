from . import bench as bench
from . import notebooks as notebooks
from . import stamp as stamp
from .bench import run_bench as run_bench
from .notebooks import run_notebooks as run_notebooks
from .stamp import stamp_notebooks as stamp_notebooks
