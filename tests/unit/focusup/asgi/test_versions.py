"""A server starts on versions that it was tried with, and on no others."""

import pytest

from focusup.asgi.versions import RELIED_ON, UnsupportedVersionError, check_versions


def test_the_installed_versions_are_supported() -> None:
    check_versions()


@pytest.mark.parametrize("package", RELIED_ON)
def test_an_untried_version_is_refused_with_what_to_do(package: str) -> None:
    def installed(name: str) -> str:
        tried = {"hypercorn": "0.18.0", "quart": "0.22.0", "websockets": "15.0.1"}
        return "99.1" if name == package else tried[name]

    with pytest.raises(UnsupportedVersionError) as refused:
        check_versions(installed)
    assert f"{package} 99.1 (needs " in str(refused.value)
    assert "constraints.txt" in str(refused.value)
