"""An LLM as an annotator, on a real Label Studio: asked, compared with people, and only then believed."""

import json
from typing import Any

import pytest

from backend.entrypoints.sample import load_gold, load_reviews
from tests.conftest import LLM_KEY, Demo, wait_for
from tests.e2e.team import Team
from tests.llm_server import LlmServer


@pytest.mark.timeout(600)
def test_an_llm_votes_once_people_agree_with_it(demo: Demo, llm_server: LlmServer) -> None:
    llm_server.answer = read_gold
    team = Team.with_reviews(demo, 80, n_labeled=55)
    team.connect()
    assert llm_server.seen == [], "nobody allowed this project to send anything"
    parameters = {"llm_policy": "uncertain", "llm_share": 0.2, "llm_sample": 50, "llm_left_out": ["awards"]}
    set_parameters(team, parameters)
    found = json.loads(demo.prelabel("llm", "estimate", str(team.project), "--json"))
    assert {item["policy"]: item["tasks"] for item in found["estimates"]}["all"] == 50 + 25
    assert llm_server.seen == []
    demo.prelabel("llm", "ask", str(team.project))
    wait_for(lambda: any(item["trusted"] for item in report(team)["sources"]), 120, "trust")
    team.settle()
    (current,) = [
        item for item in json.loads(demo.prelabel("versions", str(team.project), "--json")) if item["current"]
    ]
    sources = current["metrics"]["questions"]["sentiment"]["sources"]
    assert any(name.startswith("llm:gold-reader:") for name in sources)
    # Of the open tasks, the share that the policy allows.
    sent = "".join(message["content"] for chat in llm_server.chats for message in chat["messages"])
    asked = sum(json.dumps(review["text"], ensure_ascii=False) in sent for review in load_reviews()[55:80])
    assert 0 < asked <= 16
    assert '"awards"' not in sent
    assert '"rating"' in sent
    money = report(team)["usd"]
    assert 0 < money["spent"] <= money["budget"]
    assert LLM_KEY not in demo.prelabel("doctor") + demo.prelabel("llm", "report", str(team.project))


def report(team: Team) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(team.demo.prelabel("llm", "report", str(team.project), "--json"))
    return found


def set_parameters(team: Team, parameters: dict[str, object]) -> None:
    """What an admin types as the backend's extra parameters."""
    with team.demo.api as api:
        (backend,) = api.get("/api/ml/", params={"project": team.project}).json()
        body = {"project": team.project, "url": backend["url"], "extra_params": parameters}
        api.patch(f"/api/ml/{backend['id']}", json=body).raise_for_status()


def read_gold(body: dict[str, Any]) -> str:
    """A model that answers as a careful reader does."""
    gold = {str(review["text"]): load_gold()[str(review["id"])] for review in load_reviews()}
    user = body["messages"][-1]["content"]
    tasks = [json.loads(line) for line in user.split("\n") if line.startswith('{"id"')]
    answers = [{"id": task["id"], "labels": [gold[task["task"]["text"]]], "confidence": 0.9} for task in tasks]
    return json.dumps({"answers": answers})
