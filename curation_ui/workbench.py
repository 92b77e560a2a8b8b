"""The routes of the tools: samples for review, agreement, thresholds, trainer's view, versions, segmenting, study."""

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from curation_ui import thresholds, tool_wire
from curation_ui.agreement import agreement
from curation_ui.api import Asks, Writes, finder, log_of
from curation_ui.desk import Desk
from curation_ui.quality import quality
from curation_ui.segmenting import told
from curation_ui.study import Study


def routes(desk: Desk) -> APIRouter:
    """All of them, over one desk."""
    router = APIRouter(prefix="/api")
    for add in (_reviewing, _thresholds, _looking, _segmenting, _studying):
        add(router, desk)
    return router


def _reviewing(router: APIRouter, desk: Desk) -> None:
    shown = finder(desk)

    @router.post("/{dataset}/sample")
    def sample(dataset: str, asked: tool_wire.SampleRequest, who: Asks) -> tool_wire.QualitySample:
        one = shown(dataset)
        log_of(one).look()
        return quality(one, asked, who)

    @router.get("/{dataset}/agreement")
    def agree(dataset: str, who: Asks) -> tool_wire.Agreement:
        one = shown(dataset)
        one.viewer(who)  # looks for what others wrote
        return agreement(one, log_of(one))


def _thresholds(router: APIRouter, desk: Desk) -> None:
    shown = finder(desk)

    @router.get("/{dataset}/rules")
    def rules(dataset: str) -> tool_wire.Rules:
        one = shown(dataset)
        return tool_wire.Rules(settings=thresholds.settings_of(one.rules, one.samples.kinds))

    @router.post("/{dataset}/thresholds")
    def under(dataset: str, asked: tool_wire.ThresholdsRequest) -> tool_wire.Thresholds:
        one = shown(dataset)
        changed = thresholds.changed(one.rules, asked.settings)
        said = thresholds.assignments(changed, asked.settings)
        return thresholds.answer(one.judged.under(changed), one.all_keys(), said, one.holdings.storage.url)


def _looking(router: APIRouter, desk: Desk) -> None:
    shown = finder(desk)

    @router.post("/{dataset}/trainer")
    def trainer(dataset: str, asked: tool_wire.TrainerRequest) -> tool_wire.TrainerView:
        from curation_ui.trainer import trainer_view  # loads torch, which the page does without until now

        return trainer_view(shown(dataset), asked, desk.train_recipe)

    @router.post("/diff")
    def diff(asked: tool_wire.DiffRequest) -> tool_wire.DiffAnswer:
        shown(asked.a), shown(asked.b)
        return desk.comparison(asked.a, asked.b).answer(asked)


def _segmenting(router: APIRouter, desk: Desk) -> None:
    shown = finder(desk)

    @router.post("/{dataset}/segment")
    def segment(dataset: str, asked: tool_wire.SegmentRequest, who: Writes) -> tool_wire.SegmentJob:  # noqa: ARG001  it costs
        one = shown(dataset)
        log_of(one)
        return told(desk.segmenting.ask(one, asked))

    @router.get("/{dataset}/segment/{job}")
    def how_it_stands(dataset: str, job: str) -> tool_wire.SegmentJob:
        return told(desk.segmenting.job(shown(dataset), job))

    @router.post("/{dataset}/segment/{job}/accept")
    def accept(dataset: str, job: str, who: Writes) -> tool_wire.SegmentJob:
        one = shown(dataset)
        done = desk.segmenting.job(one, job)
        log_of(one).take_in([desk.segmenting.accepted(done, who)])
        one.decided([done.request.key])
        return told(done)


def _studying(router: APIRouter, desk: Desk) -> None:
    @router.get("/study")
    def task(who: Writes) -> tool_wire.StudyTask:
        return study_of(desk).next(who)

    @router.post("/study")
    def vote(asked: tool_wire.StudyVote, who: Writes) -> tool_wire.StudyProgress:
        return study_of(desk).vote(who, asked)

    @router.get("/study/tally")
    def tally() -> tool_wire.StudyTally:
        return study_of(desk).tally()


def study_of(desk: Desk) -> Study:
    """Raises 404 where there is none."""
    if desk.study is None:
        raise HTTPException(404, "there is no study here; start the server with --study NAME=FOLDER for each method")
    return desk.study
