from .adapters import examine_adapter as examine_adapter
from .environment import examine as examine
from .environment import examine_environment as examine_environment
from .finding import Finding as Finding
from .finding import Findings as Findings
from .run_folder import examine_run as examine_run
from .selftest import test_yourself as test_yourself
from .trainers import examine_trainer as examine_trainer
