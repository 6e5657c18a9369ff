"""An ensemble: networks that differ in their seeds, each a run of its own in the workdir's members/0, 1, ...

A member is what a lone run with its seed would be: it can be evaluated, scanned with and reported by itself.
"""

import contextlib
import dataclasses
from collections.abc import Sequence

from clusterjax import hosts
from clusterjax.experiment import MEMBERS, create_network
from clusterjax.jobs.learning import Learning, describe, find_learning_rate, is_trained, make_run, set_up
from clusterjax.jobs.learning import train as train_alone
from clusterjax.jobs.provenance import keep_provenance
from clusterjax.jobs.session import Session, keep_config, say
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.loop import TrainingRun
from clusterjax.training.loop import train as run_training
from clusterjax.training.together import MembersStep, MembersValidation, sooner_at_once, train_together


@dataclasses.dataclass
class Member:
    """One of several runs that are trained at once. ``source`` and ``validation`` None: the data set's splits."""

    session: Session
    source: object = None
    validation: object = None


def train(session: Session) -> None:
    """The job train: one network, or ``config.training.num_members``."""
    number = session.config.training.num_members
    if number == 1:
        train_alone(session)
        return
    if all(is_trained(member_session(session, index)) for index in range(number)):
        say(f"training of {number} members is finished; remove {session.workdir / MEMBERS} to train again")
        return
    learning = set_up(session)
    rate = learning_rate(session, learning)
    describe(session, learning)
    members = [Member(member_session(session, index, rate)) for index in range(number)]
    train_members(members, learning, rate)


def learning_rate(session: Session, learning: Learning) -> float:
    """The config's, else what the LR range test suggests; all members take it."""
    given = session.config.optim.learning_rate
    return find_learning_rate(session, learning) if given is None else given


def member_session(session: Session, index: int, rate: float | None = None, *, folder: str = MEMBERS) -> Session:
    """Of the run with the seed ``index`` above the session's, in a folder of its own."""
    config = session.config
    config = dataclasses.replace(
        config,
        name=f"{config.name}_{folder.removesuffix('s')}{index}",
        seed=config.seed + index,
        training=dataclasses.replace(config.training, num_members=1),
        optim=dataclasses.replace(config.optim, learning_rate=rate),
    )
    return Session(config, session.workdir / folder / str(index), session.mesh, profile=session.profile)


def train_members(members: Sequence[Member], learning: Learning, rate: float) -> None:
    """Train those that are not finished: as one program or one after another, whichever is sooner done."""

    def prepare() -> None:
        for member in members:
            member.session.workdir.mkdir(parents=True, exist_ok=True)
            keep_config(member.session.workdir, member.session.config)

    hosts.on_first_host(prepare)
    waiting = [member for member in members if not is_trained(member.session)]
    if not waiting:
        return
    hosts.on_first_host(lambda: keep_provenance(waiting[0].session.workdir.parents[1]))
    # Of equal length, so that members keep step; what an epoch leaves over begins the next.
    epoch_size = min(len(learning.source if member.source is None else member.source) for member in members)

    def make(member: Member, checkpoints: Checkpoints) -> TrainingRun:
        session = member.session
        network, _ = create_network(session.config, learning.network.facts, session.mesh)
        parts = {"source": member.source, "validation": member.validation}
        return make_run(session, learning, network, rate, checkpoints, **parts, epoch_size=epoch_size)

    training, mesh = waiting[0].session.config.training, waiting[0].session.mesh
    one = learning.network.state, learning.batch_shapes()
    alone = training.shard_parameters or training.batch_norm == "device"
    if alone or not sooner_at_once(learning.update, len(waiting), mesh, *one):
        for member in waiting:
            say(f"{member.session.config.name} ({member.session.workdir.name} of 0 to {len(members) - 1})")
            with _checkpoints(member) as checkpoints:
                run_training(make(member, checkpoints), member.session.workdir)
        return
    with contextlib.ExitStack() as stack:
        runs = [make(member, stack.enter_context(_checkpoints(member))) for member in waiting]
        step = MembersStep(learning.update, mesh, [member.session.config.seed for member in waiting])
        validation = MembersValidation(learning.evaluation, mesh, len(waiting))
        train_together(runs, step, validation, [member.session.workdir for member in waiting])


def _checkpoints(member: Member) -> Checkpoints:
    return Checkpoints(member.session.workdir / "checkpoints")
