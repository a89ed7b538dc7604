"""Names that belong to the language itself; written down, so that facts do not depend on the running interpreter."""

BUILTINS = frozenset(
    """
    ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError BrokenPipeError
    BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError
    ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning EnvironmentError Exception ExceptionGroup
    False FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError ImportError
    ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError KeyboardInterrupt LookupError
    MemoryError ModuleNotFoundError NameError None NotADirectoryError NotImplemented NotImplementedError OSError
    OverflowError PendingDeprecationWarning PermissionError ProcessLookupError RecursionError ReferenceError
    ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError
    SystemExit TabError TimeoutError True TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError
    UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning WindowsError ZeroDivisionError __build_class__
    __debug__ __doc__ __file__ __import__ __loader__ __name__ __package__ __spec__ abs aiter all anext any ascii bin
    bool breakpoint bytearray bytes callable chr classmethod compile complex copyright credits delattr dict dir divmod
    enumerate eval exec exit filter float format frozenset getattr globals hasattr hash help hex id input int isinstance
    issubclass iter len license list locals map max memoryview min next object oct open ord pow print property quit
    range repr reversed round set setattr slice sorted staticmethod str sum super tuple type vars zip unicode basestring
    xrange raw_input reduce long unichr cmp execfile reload reveal_type
    """.split()  # noqa: SIM905 - words in lines read better
)

COMMON_METHODS = frozenset(
    """
    add append appendleft as_posix astimezone absolute acquire accept bind bit_length capitalize casefold cancel center
    chmod clear close closed combine communicate connect copy count date debug decode difference difference_update
    digest discard done dump dumps elapsed encode end endswith error exception exists expanduser expandtabs extend
    extendleft fetchall fetchone fileno find findall finditer flush format format_map fromhex fromkeys fullmatch
    fromtimestamp from_bytes get getvalue glob group groupdict groups hex hexdigest index info insert intersection
    intersection_update isalnum isalpha isascii isatty isdecimal isdigit isdir isdisjoint isfile isidentifier islower
    isnumeric isoformat isprintable isspace issubset issuperset istitle isupper items iterdir is_absolute is_dir is_file
    is_set join joinpath keys kill listen ljust load loads log lower lstrip maketrans match mkdir most_common move
    move_to_end notify now open parse partition poll pop popitem popleft put put_nowait get_nowait quit read
    read_bytes read_text readable readline readlines readouterr recv relative_to release remove removeprefix
    removesuffix rename replace resolve result reverse rewind rfind rglob rindex rjust rmdir rpartition rsplit rstrip
    run search seek seekable send sendall set setdefault setsockopt shutdown sort span split splitlines start
    startswith stat stop strftime strip strptime sub submit subn swapcase symmetric_difference tell terminate throw time
    timestamp title to_bytes total_seconds touch translate truncate union unlink update upper utcoffset values wait
    warn warning with_name with_suffix writable write write_bytes write_text writelines writerow zfill assert_called
    assert_called_once assert_called_once_with assert_called_with assert_not_called assertEqual assertTrue assertFalse
    assertRaises assertIn assertIs assertIsNone assertIsInstance assertNotEqual assertIsNot assertNotIn assertLess
    assertGreater assertRaisesRegex assertIsNotNone addCleanup skipTest fail setattr delattr setenv delenv chdir
    syspath_prepend __init__ __call__ __enter__ __exit__ __iter__ __next__ __len__ __getitem__ __setitem__ __repr__
    __str__ __eq__ __hash__ __new__ __contains__ __getattr__ __setattr__ commit rollback execute executemany cursor
    """.split()  # noqa: SIM905 - words in lines read better
)
"""Methods of builtin types and of much-used classes of the standard library: they tell little of their receiver."""
