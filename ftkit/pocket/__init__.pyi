from . import batches as batches
from . import card as card
from . import plan as plan
from . import pretraining as pretraining
from .plan import Plan as Plan
from .pretraining import pretrain as pretrain
from .pretraining import pretrain_and_ship as pretrain_and_ship
