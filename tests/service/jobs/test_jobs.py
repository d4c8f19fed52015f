"""The loop that works on jobs: whose a job is, how it ends, and what others see of it meanwhile."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from handful.errors import NotFoundError, RequestError, StaleError, StorageError
from handful.service.jobs import Jobs
from handful.service.jobs.work import Work
from handful.settings import Settings
from handful.storage.ids import new_id
from handful.storage.open import open_store
from handful.storage.records import JobRecord
from handful.storage.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


class Steps:
    """A kind of job that goes through steps, as many as asked, and says which it did."""

    name = "steps"

    def __init__(self):
        self.done = []
        self.over_with = []
        self.may_go_on = asyncio.Event()
        self.begun = asyncio.Event()
        self.paused = asyncio.Event()

    def checked(self, request):
        return request

    async def run(self, work):
        for step in range(work.job.cursor.get("next", 0), work.job.request["steps"]):
            self.done.append((work.job.id, step))
            await work.note(step / work.job.request["steps"], {"next": step + 1})
            self.begun.set()
            if step == work.job.request.get("pause_at"):
                self.paused.set()
                while not self.may_go_on.is_set():
                    work.check()
                    await asyncio.sleep(0.01)
        if "fail" in work.job.request:
            raise RequestError(work.job.request["fail"])
        return {"steps": work.job.request["steps"]}

    async def over(self, job):
        self.over_with.append((job.id, job.status))


class Alone(Steps):
    """Notes how many at once work on it, at most."""

    def __init__(self):
        super().__init__()
        self.working = self.most = 0

    async def run(self, work):
        self.working += 1
        self.most = max(self.most, self.working)
        try:
            return await super().run(work)
        finally:
            self.working -= 1


class Failing(Steps):
    """Goes through its steps; its storage fails where the request says, each time or once."""

    def __init__(self, *, again):
        super().__init__()
        self.again = again
        self.attempts = []

    async def run(self, work):
        self.attempts.append(work.job.attempts)
        result = await super().run(work)
        if self.again or len(self.attempts) == 1:
            raise StorageError("the disk is unplugged")
        return result


class AwayStore(SqliteStore):
    """A store that a process may lose."""

    away = False

    async def update_job(self, job):
        self._check()
        return await super().update_job(job)

    async def job(self, tenant, id):
        self._check()
        return await super().job(tenant, id)

    async def claim_job(self, **told):
        self._check()
        return await super().claim_job(**told)

    def _check(self):
        if self.away:
            raise StorageError("the network is unplugged")


@asynccontextmanager
async def working(folder, kind, *, store=SqliteStore, **settings):
    store = store(folder / "store.sqlite")
    jobs = Jobs(store, Settings(data_dir=folder, **settings))
    jobs.start([kind])
    try:
        yield jobs, store
    finally:
        await jobs.close()
        await store.close()


async def last_of(jobs, job):
    *_, last = [state async for state in jobs.events(job.tenant, job.id)]
    return last


async def test_a_job_succeeds_with_its_result_and_its_kind_is_told(tmp_path):
    kind = Steps()
    async with working(tmp_path, kind) as (jobs, _):
        job = await jobs.submit("default", "steps", None, {"steps": 3})
        last = await last_of(jobs, job)
    assert (last.status, last.progress, last.result) == ("succeeded", 1.0, {"steps": 3})
    assert kind.over_with == [(job.id, "succeeded")]


async def test_a_job_that_cannot_be_done_says_why(tmp_path):
    kind = Steps()
    async with working(tmp_path, kind) as (jobs, _):
        last = await last_of(
            jobs, await jobs.submit("default", "steps", None, {"steps": 1, "fail": "too blue"})
        )
    assert last.status == "failed"
    assert last.error == {
        "type": "/problems/job-failed",
        "title": "Job failed",
        "status": 422,
        "detail": "too blue",
    }


async def test_of_two_workers_on_one_store_exactly_one_runs_each_job(tmp_path):
    one, other = Steps(), Steps()
    async with working(tmp_path, one) as (jobs, _), working(tmp_path, other, job_threads=2) as (others, _):
        submitted = [
            await (jobs if at % 2 else others).submit("default", "steps", None, {"steps": 2})
            for at in range(30)
        ]
        for job in submitted:
            assert (await last_of(jobs, job)).status == "succeeded"
    assert sorted(one.done + other.done) == sorted((job.id, step) for job in submitted for step in range(2))


async def test_a_queued_job_that_is_cancelled_never_starts(tmp_path):
    kind = Steps()
    async with working(tmp_path, kind) as (jobs, _):
        first = await jobs.submit("default", "steps", None, {"steps": 1, "pause_at": 0})
        await kind.begun.wait()
        second = await jobs.submit("default", "steps", None, {"steps": 1})
        assert (await jobs.cancel("default", second.id)).status == "cancelled"
        kind.may_go_on.set()
        assert (await last_of(jobs, first)).status == "succeeded"
        assert (await last_of(jobs, second)).status == "cancelled"
    assert kind.done == [(first.id, 0)]
    assert (second.id, "cancelled") in kind.over_with


async def test_a_running_job_that_is_cancelled_stops_and_another_may_follow(tmp_path):
    kind = Steps()
    async with working(tmp_path, kind) as (jobs, _):
        job = await jobs.submit("default", "steps", None, {"steps": 9, "pause_at": 2})
        await kind.begun.wait()
        await jobs.cancel("default", job.id)
        assert (await last_of(jobs, job)).status == "cancelled"
        after = await jobs.submit("default", "steps", None, {"steps": 1})
        assert (await last_of(jobs, after)).status == "succeeded"
    assert (job.id, 3) not in kind.done


async def test_a_job_that_another_process_runs_hears_that_it_is_cancelled(tmp_path):
    runs, idle = Steps(), Steps()
    async with working(tmp_path, runs) as (jobs, _):
        job = await jobs.submit("default", "steps", None, {"steps": 1, "pause_at": 0})
        await runs.begun.wait()
        async with working(tmp_path, idle) as (others, _):
            assert (await others.cancel("default", job.id)).cancelling
            assert (await last_of(others, job)).status == "cancelled"


async def test_a_service_that_stops_gives_its_job_back_and_the_next_goes_on_from_the_cursor(tmp_path):
    first, second = Steps(), Steps()
    async with working(tmp_path, first) as (jobs, _):
        job = await jobs.submit("default", "steps", None, {"steps": 5, "pause_at": 2})
        await first.paused.wait()
    second.may_go_on.set()
    async with working(tmp_path, second) as (jobs, _):
        last = await last_of(jobs, job)
    assert (last.status, last.attempts) == ("succeeded", 1)
    assert [step for _, step in first.done + second.done] == [0, 1, 2, 3, 4]


async def test_a_job_whose_worker_died_is_taken_over_after_its_lease(tmp_path):
    kind = Steps()
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite")
    job = JobRecord(
        tenant="default",
        id=new_id(),
        kind="steps",
        classifier=None,
        status="queued",
        request={"steps": 2},
        created=datetime.now(UTC),
        updated=datetime.now(UTC),
    )
    await store.put_job(job)
    now = datetime.now(UTC)
    dead = await store.claim_job(token="dead", now=now, lease_until=now + timedelta(seconds=0.5))
    assert dead.id == job.id
    async with working(tmp_path, kind) as (jobs, _):
        last = await last_of(jobs, job)
    assert (last.status, last.attempts) == ("succeeded", 2)
    with pytest.raises(StaleError):
        await Work(store, dead).note(0.5, {"next": 1})
    assert (await store.job("default", job.id)).status == "succeeded"
    await store.close()


async def test_a_job_that_kills_its_workers_is_given_up(tmp_path):
    kind = Steps()
    async with working(tmp_path, kind, job_threads=1) as (jobs, store):
        blocker = await jobs.submit("default", "steps", None, {"steps": 1, "pause_at": 0})
        await kind.begun.wait()
        job = await jobs.submit("default", "steps", None, {"steps": 1})
        for attempt in range(3):
            past = datetime.now(UTC)
            claimed = await store.claim_job(token=f"dead {attempt}", now=past, lease_until=past)
            assert claimed.id == job.id
        kind.may_go_on.set()
        last = await last_of(jobs, job)
        assert (await last_of(jobs, blocker)).status == "succeeded"
    assert last.status == "failed"
    assert last.error["detail"] == "it was begun 3 times, and each time its worker died"
    assert (job.id, 0) not in kind.done


async def test_a_job_that_takes_longer_than_its_lease_stays_its_workers(tmp_path):
    kind, other = Steps(), Steps()
    async with working(tmp_path, kind, job_lease_seconds=0.3) as (jobs, _):
        job = await jobs.submit("default", "steps", None, {"steps": 2, "pause_at": 0})
        await kind.begun.wait()
        async with working(tmp_path, other, job_lease_seconds=0.3) as (others, _):
            await asyncio.sleep(1.5)
            kind.may_go_on.set()
            assert (await last_of(others, job)).status == "succeeded"
    assert other.done == []


async def test_who_cannot_renew_its_claim_stops_before_another_begins(tmp_path):
    kind = Alone()
    lease = {"job_lease_seconds": 0.5}
    async with working(tmp_path, kind, store=AwayStore, **lease) as (jobs, store):
        job = await jobs.submit("default", "steps", None, {"steps": 3, "pause_at": 0})
        await kind.begun.wait()
        async with working(tmp_path, kind, **lease) as (others, _):
            store.away = True
            async with asyncio.timeout(20):
                while kind.working:
                    await asyncio.sleep(0.01)
            kind.may_go_on.set()
            assert (await last_of(others, job)).status == "succeeded"
            store.away = False
    assert kind.most == 1
    assert kind.done == [(job.id, step) for step in range(3)]


async def test_a_job_whose_claim_ran_out_while_nobody_took_it_is_begun_again(tmp_path):
    kind = Alone()
    async with working(tmp_path, kind, store=AwayStore, job_lease_seconds=0.3) as (jobs, store):
        job = await jobs.submit("default", "steps", None, {"steps": 3, "pause_at": 0})
        await kind.begun.wait()
        store.away = True
        async with asyncio.timeout(20):
            while kind.working:
                await asyncio.sleep(0.01)
        store.away = False
        kind.may_go_on.set()
        last = await last_of(jobs, job)
    assert (last.status, last.attempts, kind.most) == ("succeeded", 2, 1)


async def test_a_job_that_is_done_while_the_store_is_away_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr("handful.service.jobs.working._POLL", 0.02)
    kind = Steps()
    async with working(tmp_path, kind, store=AwayStore) as (jobs, store):
        job = await jobs.submit("default", "steps", None, {"steps": 1, "pause_at": 0})
        await kind.paused.wait()
        store.away = True
        kind.may_go_on.set()
        await asyncio.sleep(0.2)
        store.away = False
        last = await last_of(jobs, job)
    assert (last.status, last.attempts, kind.done) == ("succeeded", 1, [(job.id, 0)])
    assert kind.over_with == [(job.id, "succeeded")]


async def test_a_fault_in_one_job_does_not_keep_the_next_from_being_done(tmp_path, monkeypatch):
    class Faulty(Steps):
        async def over(self, job):
            await super().over(job)
            if len(self.over_with) == 1:
                raise KeyError("a bug")

    monkeypatch.setattr("handful.service.jobs.working._POLL", 0.02)
    kind = Faulty()
    async with working(tmp_path, kind) as (jobs, _):
        for _ in range(2):
            assert (await last_of(jobs, await jobs.submit("default", "steps", None, {"steps": 1}))).result
    assert len(kind.over_with) == 2


@pytest.mark.parametrize("steps", [0, 2])
async def test_a_job_whose_storage_failed_is_tried_again(tmp_path, monkeypatch, steps):
    monkeypatch.setattr("handful.service.jobs.working._POLL", 0.02)
    kind = Failing(again=False)
    async with working(tmp_path, kind) as (jobs, _):
        last = await last_of(jobs, await jobs.submit("default", "steps", None, {"steps": steps}))
    assert (last.status, last.result) == ("succeeded", {"steps": steps})
    assert kind.attempts == [1, 1 if steps else 2]  # what brought it on does not count
    assert [step for _, step in kind.done] == list(range(steps))


async def test_a_job_whose_storage_fails_for_good_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("handful.service.jobs.working._POLL", 0.02)
    kind = Failing(again=True)
    async with working(tmp_path, kind) as (jobs, _):
        last = await last_of(jobs, await jobs.submit("default", "steps", None, {"steps": 1}))
    assert (last.status, last.error["detail"]) == ("failed", "the disk is unplugged")
    assert kind.attempts == [1, 1, 2, 3]


async def test_a_process_without_job_threads_leaves_its_jobs_to_others(tmp_path):
    idle, kind = Steps(), Steps()
    async with working(tmp_path, idle, job_threads=0) as (jobs, _):
        job = await jobs.submit("default", "steps", None, {"steps": 1})
        cancelled = await jobs.submit("default", "steps", None, {"steps": 1})
        await asyncio.sleep(0.1)
        assert (await jobs.get("default", job.id)).status == "queued"
        await jobs.cancel("default", cancelled.id)
        async with working(tmp_path, kind):
            assert (await last_of(jobs, job)).status == "succeeded"
    assert (idle.done, kind.done) == ([], [(job.id, 0)])


async def test_heartbeats_never_take_a_cursor_back(tmp_path):
    kind = Steps()
    async with working(tmp_path, kind) as (jobs, store):
        await jobs.close()
        job = await jobs.submit("default", "steps", None, {"steps": 1})
        now = datetime.now(UTC)
        work = Work(store, await store.claim_job(token="mine", now=now, lease_until=now))
        await asyncio.gather(
            *(
                one
                for step in range(50)
                for one in (work.note(0.1, {"next": step}), work.write(lease_until=datetime.now(UTC)))
            )
        )
        assert (await store.job("default", job.id)).cursor == {"next": 49}


async def test_who_follows_a_job_late_hears_its_end_alone(tmp_path):
    kind = Steps()
    async with working(tmp_path, kind) as (jobs, _):
        job = await jobs.submit("default", "steps", None, {"steps": 1})
        early = [state.status async for state in jobs.events("default", job.id)]
        late = [state.status async for state in jobs.events("default", job.id)]
    assert early[-1] == "succeeded"
    assert late == ["succeeded"]


async def test_jobs_of_others_are_not_there(tmp_path):
    kind = Steps()
    async with working(tmp_path, kind) as (jobs, _):
        job = await jobs.submit("default", "steps", None, {"steps": 1})
        for ask in (jobs.get, jobs.cancel):
            with pytest.raises(NotFoundError, match=f"there is no job {job.id!r}"):
                await ask("other", job.id)
        with pytest.raises(NotFoundError):
            [state async for state in jobs.events("other", job.id)]


async def test_only_kinds_that_there_are_and_classifiers_of_the_tenant_are_taken(tmp_path):
    async with working(tmp_path, Steps()) as (jobs, _):
        with pytest.raises(RequestError, match="no job of kind 'fly'; there is steps"):
            await jobs.submit("default", "fly", None, {})
        with pytest.raises(NotFoundError, match="there is no classifier 'x'"):
            await jobs.submit("default", "steps", "x", {"steps": 1})
