"""Every error survives the wire as the class that was raised."""

import importlib
import pkgutil

import pytest

import services
from services.kernel.errors import (
    KINDS,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    PlatformError,
    UnavailableError,
    error_from_wire,
    kind_of_status,
)


def import_every_protocol():
    """Load all modules that may define errors which cross the wire."""
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if module.name.rpartition(".")[2] in {"protocol", "caller", "vocabulary", "idempotency", "home"}:
            importlib.import_module(module.name)


def all_errors():
    import_every_protocol()
    found, queue = [], [PlatformError]
    while queue:
        children = [cls for cls in queue.pop().__subclasses__() if cls.__module__.startswith("services.")]
        found += children
        queue += children
    return sorted(set(found), key=lambda cls: (cls.__module__, cls.__name__))


@pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.code)
def test_error_comes_back_as_the_class_that_was_raised(cls):
    raised = cls("one clear line")
    rebuilt = error_from_wire(cls.status, raised.to_wire())
    assert (type(rebuilt), rebuilt.detail, rebuilt.to_wire()) == (cls, "one clear line", raised.to_wire())


def test_no_two_errors_share_a_code():
    codes = [cls.code for cls in all_errors()]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.code)
def test_error_is_of_one_of_the_nine_kinds(cls):
    assert cls.status in {kind.status for kind in KINDS}
    assert issubclass(cls, kind_of_status(cls.status))


def test_service_error_code_names_its_service():
    own = [cls for cls in all_errors() if cls not in KINDS]
    assert own
    assert [cls for cls in own if "." not in cls.code] == []


def test_there_are_nine_kinds_and_two_are_retryable():
    assert sorted(kind.status for kind in KINDS) == [401, 403, 404, 409, 422, 429, 500, 503, 504]
    assert sorted(kind.status for kind in KINDS if kind.is_retryable) == [503, 504]


def test_unknown_code_becomes_its_kind_and_keeps_its_code():
    rebuilt = error_from_wire(404, {"code": "elsewhere.not_here", "detail": "gone", "retryable": False})
    assert (type(rebuilt), rebuilt.code, rebuilt.detail) == (NotFoundError, "elsewhere.not_here", "gone")
    assert NotFoundError.code == "not_found", "the class itself is untouched"


def test_known_code_with_another_status_is_not_trusted():
    rebuilt = error_from_wire(503, {"code": "not_found", "detail": "odd", "retryable": True})
    assert isinstance(rebuilt, UnavailableError)


@pytest.mark.parametrize(
    ("status", "kind"), [(400, InvalidRequestError), (405, InvalidRequestError), (413, InvalidRequestError)]
)
def test_statuses_of_the_http_layer_mean_a_wrong_request(status, kind):
    assert kind_of_status(status) is kind


@pytest.mark.parametrize("status", [418, 502, 599])
def test_unknown_status_is_internal(status):
    assert kind_of_status(status) is InternalError
