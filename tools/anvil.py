"""Finds Anvil, a real EVM chain in one program, or installs it with npm, and runs a private one."""

import functools
import hashlib
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from tools.npm import NpmFolder
from tools.process import Server, ServiceError

_ROOT = Path(__file__).resolve().parents[1]
_SOURCE = _ROOT / "tests" / "standins" / "chains" / "Token.sol"
_PACKAGES = ("@foundry-rs/anvil@1.7.1", "solc@0.8.37")
_NPM = NpmFolder("npm", *_PACKAGES)
_OLDEST = 1
_SOLC_TIMEOUT_SECONDS = 60.0
# Older instructions than the newest: any Anvil from PATH can run what comes out.
_EVM_VERSION = "paris"


@dataclass(frozen=True, slots=True)
class CompiledToken:
    """A contract ready to deploy: `bytecode` and the 4-byte selectors in hex, without 0x.

    `selectors` is keyed by signature: `transfer(address,uint256)`.
    """

    bytecode: str
    selectors: dict[str, str]


def find_anvil() -> Path:
    """The program: `anvil` on PATH, else the one in the npm package, installed when first asked."""
    return _on_path() or _installed(_in_package)


def _on_path() -> Path | None:
    program = shutil.which("anvil")
    if program is None:
        return None
    path = Path(program).resolve()
    with path.open("rb") as file:
        # npm puts a script there. Killed, it would leave the chain that it started behind.
        if file.read(2) == b"#!":
            return None
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\b(\d+)\.\d+\.\d+", shown.stdout)
    return path if number and int(number[1]) >= _OLDEST else None


def _in_package() -> Path | None:
    for program in (_NPM.modules / "@foundry-rs").glob("anvil-*/bin/anvil"):
        return program  # npm installs the one package of this platform.
    return None


def _compiler() -> Path | None:
    path = _NPM.modules / "solc" / "solc.js"
    return path if path.exists() else None


def _installed(find: Callable[[], Path | None]) -> Path:
    """What `find` returns once the packages are there."""
    _NPM.install()
    found = find()
    if found is None:
        raise ServiceError("npm has no Anvil for this platform: put `anvil` on PATH")
    return found


@functools.cache
def compile_tokens() -> dict[str, CompiledToken]:
    """The contracts of `Token.sol` by name; compiled once for each text of that file."""
    source = _SOURCE.read_text()
    key = hashlib.sha256("\n".join((source, *_PACKAGES, _EVM_VERSION)).encode()).hexdigest()
    kept = _NPM.path / f"tokens-{key[:16]}.json"
    if not kept.exists():
        compiler = _installed(_compiler)
        with _NPM.lock():  # A reader sees all of the file or none: the name comes last.
            fresh = kept.with_suffix(".part")
            fresh.write_text(json.dumps({n: asdict(t) for n, t in _compile(compiler, source)}))
            fresh.rename(kept)
    return {name: CompiledToken(**token) for name, token in json.loads(kept.read_text()).items()}


def _compile(compiler: Path, source: str) -> Iterator[tuple[str, CompiledToken]]:
    """Through standard JSON (docs.soliditylang.org, Using the Compiler)."""
    node = shutil.which("node")
    if node is None:
        raise ServiceError("no Solidity compiler: install Node.js with npm")
    task = {
        "language": "Solidity",
        "sources": {_SOURCE.name: {"content": source}},
        "settings": {
            "optimizer": {"enabled": True},
            "evmVersion": _EVM_VERSION,
            "outputSelection": {"*": {"*": ["evm.bytecode.object", "evm.methodIdentifiers"]}},
        },
    }
    done = subprocess.run(
        [node, compiler, "--standard-json"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SOLC_TIMEOUT_SECONDS,
    )
    start = done.stdout.find("{")  # Remarks of the compiler may stand before the answer.
    if done.returncode != 0 or start < 0:
        raise ServiceError(f"the Solidity compiler failed: {done.stderr.strip()[-300:]}")
    answer: dict[str, Any] = json.loads(done.stdout[start:])
    if faults := [e["formattedMessage"] for e in answer.get("errors", ())]:
        raise ServiceError("the Solidity compiler objects:\n" + "\n".join(faults))
    for name, contract in answer["contracts"][_SOURCE.name].items():
        evm = contract["evm"]
        yield name, CompiledToken(evm["bytecode"]["object"], evm["methodIdentifiers"])


class AnvilServer(Server):
    """A private EVM chain on loopback that mines a block for each transaction.

    `stop()` writes the chain down and `start()` goes on with it; `kill()` loses it.
    """

    kind: ClassVar[str] = "anvil"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, chain_id: int = 1, *, port: int | None = None) -> None:
        """Find the program, or install it; nothing runs before `start()`."""
        super().__init__(port)
        self.chain_id = chain_id
        self.program = find_anvil()

    def owner(self) -> None:
        """Anvil runs as whoever we are."""

    def prepare(self) -> None:
        """Anvil needs nothing before its first start."""

    @property
    def _sign_of_life(self) -> Path:
        return self.keeper.directory / "started.json"

    def command(self, port: int) -> list[str]:
        """The chain in the foreground, with all that it writes in the kept directory."""
        self._sign_of_life.unlink(missing_ok=True)  # Of an earlier start.
        options = {
            "host": "127.0.0.1",
            "port": str(port),
            "chain-id": str(self.chain_id),
            "state": str(self.keeper.directory / "chain.json"),
            "cache-path": str(self.keeper.directory / "cache"),
            "config-out": str(self._sign_of_life),
        }
        words = [part for name, text in options.items() for part in (f"--{name}", text)]
        return [str(self.program), "--silent", *words]

    def is_ready(self, pid: int, port: int) -> bool:
        """Whether Anvil has written its settings down: it does so once it listens.

        Nothing in its protocol tells our server from a stranger's on the same port; this does (one
        that finds its port taken ends without writing, tried with 1.7.1).
        """
        return self._sign_of_life.exists()

    def url(self) -> str:
        """The address of its JSON-RPC."""
        return f"http://127.0.0.1:{self.port}"
