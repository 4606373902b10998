"""What stands outside a function's own code and yet decides its results: code found by a text, the environment, files and other programs.

Names are those of modules that Python knows (`posix.system` is what `os.system` is called there). Code and environment are refused, since a key
cannot tell what they hold; a function that reads files or runs programs is run again each time, since its rows are not kept (step.py: `reads_files`).
"""

from __future__ import annotations

CODE = "reaches code that cannot be seen from here"
ENVIRONMENT = "reads what the process was started with, which no key can see. Read it outside the function and use that value, or say when it changes"

# Also where the key of an answer is made, which is kept for ever: what was refused there before is refused now, and nothing else is.
ALWAYS = {"builtins.eval", "builtins.exec", "builtins.__import__", "builtins.globals", "importlib.import_module", "importlib.__import__", "sys.modules"}
ALWAYS |= {"runpy.run_path", "runpy.run_module"}


def _names(text: str) -> set[str]:
    """`module: name name` in each line, as dotted names."""
    lines = [line.split(":") for line in text.strip().splitlines()]
    return {f"{module.strip()}.{name}" for module, names in lines for name in names.split()}


HIDING = _names("""
    builtins: compile
    importlib: reload
    importlib.util: spec_from_file_location spec_from_loader module_from_spec LazyLoader
    importlib.machinery: SourceFileLoader SourcelessFileLoader ExtensionFileLoader PathFinder FileFinder
    _frozen_importlib: module_from_spec spec_from_loader
    _frozen_importlib_external: SourceFileLoader SourcelessFileLoader ExtensionFileLoader PathFinder FileFinder spec_from_file_location
    importlib.metadata: entry_points EntryPoint
    pkgutil: resolve_name get_loader find_loader walk_packages iter_modules
    pydoc: locate resolve safeimport importfile
    zipimport: zipimporter
    imp: load_source load_module load_compiled
    code: InteractiveInterpreter InteractiveConsole interact
    codeop: compile_command
    timeit: timeit repeat Timer
    sys: _getframe _current_frames _getframemodulename settrace setprofile meta_path path_hooks
    inspect: currentframe stack trace getmodule getclosurevars getinnerframes getouterframes
    gc: get_objects get_referrers get_referents
    unittest.mock: patch
    ctypes: CDLL PyDLL cdll pydll LibraryLoader py_object
    pickle: load loads Unpickler _loads _load
    _pickle: load loads Unpickler
    marshal: load loads
    shelve: open
    dill: load loads Unpickler
    dill._dill: load loads Unpickler
    cloudpickle: load loads
    cloudpickle.cloudpickle: load loads
    joblib: load
    joblib.numpy_pickle: load
    yaml: unsafe_load unsafe_load_all
    logging.config: dictConfig fileConfig
    pandas: read_pickle
    pandas.io.pickle: read_pickle
""")
OUTSIDE = _names("""
    os: environ environb getenv getenvb
    sys: argv orig_argv stdin
    builtins: input
    posixpath: expandvars
    ntpath: expandvars
    pydantic_settings: BaseSettings
    pydantic_settings.main: BaseSettings
    dotenv: dotenv_values get_key
    dotenv.main: dotenv_values get_key
""")
REFUSED = {**dict.fromkeys(HIDING | ALWAYS, CODE), **dict.fromkeys(OUTSIDE, ENVIRONMENT)}
# A module of these that is handed around as a value: what is read of it is not seen. Those that are handed around for other things are left out.
MODULES = frozenset(name.rpartition(".")[0] for name in REFUSED) - {"pandas", "unittest.mock", "posixpath", "ntpath", "yaml", "logging.config"}
# Attributes of functions, frames, classes and loaders, whatever they are read of.
ATTRIBUTES = frozenset({"__globals__", "__builtins__", "f_globals", "f_builtins", "f_locals", "f_back", "gi_frame", "cr_frame", "ag_frame", "tb_frame"})
ATTRIBUTES |= {"__subclasses__", "exec_module", "load_module", "__loader__"}

FILES = _names("""
    io: open open_code FileIO
    _io: open open_code FileIO
    os: open listdir scandir walk fwalk stat getcwd getcwdb
    posix: open listdir scandir stat getcwd getcwdb
    os.path: exists isfile isdir getmtime getsize
    posixpath: exists isfile isdir getmtime getsize
    genericpath: exists isfile isdir getmtime getsize
    glob: glob iglob
    linecache: getline getlines
    fileinput: input FileInput
    sqlite3: connect
    _sqlite3: connect
    numpy: load loadtxt genfromtxt fromfile memmap
    torch: load
    torch.serialization: load
    tomllib: load
    mmap: mmap
    zipfile: ZipFile
    tarfile: open
    pkgutil: get_data
    importlib.resources: files open_text open_binary read_text read_binary
    subprocess: run Popen call check_call check_output getoutput getstatusoutput
    os: system popen fork execv execve execvp spawnv spawnl spawnvp posix_spawn posix_spawnp
    posix: system fork execv execve posix_spawn posix_spawnp
    nt: system execv execve
    pty: spawn fork
    asyncio: create_subprocess_exec create_subprocess_shell
    asyncio.subprocess: create_subprocess_exec create_subprocess_shell
""")
# Attributes that are read of paths and of libraries that read files.
FILE_ATTRIBUTES = frozenset({"open", "read_text", "read_bytes", "iterdir", "rglob", "is_file", "is_dir", "cwd", "imread", "memmap", "fromfile", "loadtxt"})
FILE_ATTRIBUTES |= {f"{verb}_{kind}" for verb in ("read", "scan") for kind in ("csv", "parquet", "json", "ndjson", "ipc", "excel", "avro", "lines", "delta")}
FILE_ATTRIBUTES |= {"read_feather", "read_table", "read_html", "read_xml", "read_image", "scan_iceberg", "genfromtxt", "exists"}
# Names that functions of libraries which read files begin with, or are.
READING = ("read_", "open_", "load_")
READERS = frozenset({"read", "open", "load", "imread"})
# What functions and classes are called is not part of their own code: it counts where one of these is read or called.
TELLING_NAMES = frozenset({"__name__", "__qualname__", "__doc__", "__annotations__", "metadata"})
TELLING_FUNCTIONS = frozenset({"signature", "get_type_hints", "getdoc", "get_annotations"})


def why_refused(name: str, *, is_lasting: bool) -> str | None:
    """Why a library's dotted name cannot stand in a function; None if it can."""
    if name in ALWAYS:
        return CODE
    return None if is_lasting else REFUSED.get(name)


def is_reader(name: str) -> bool:
    """Whether a function of a library that is not Python's own reads files, by what it is called."""
    return name in READERS or name.startswith(READING)
