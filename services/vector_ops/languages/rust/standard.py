"""The standard library by name: what its methods give back, and which names are too common to trust."""

PRELUDE = frozenset(
    """bool char str u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 Vec String Option Box Some None Ok
    Err Fn FnMut FnOnce Send Sync Copy Clone Drop Sized ToString ToOwned Iterator IntoIterator AsRef""".split()  # noqa: SIM905
)
"""Names that are everywhere: nobody gives them another meaning but by writing it down in the same module."""

TRANSPARENT = frozenset(
    {"Box", "Rc", "Arc", "Ref", "RefMut", "MutexGuard", "RwLockReadGuard", "RwLockWriteGuard", "Cow", "Pin", "Lazy",
     "LazyLock", "ManuallyDrop", "OwnedMutexGuard", "Guard", "CachePadded", "AssertUnwindSafe", "Future", "IntoFuture",
     "AsRef", "Borrow", "Deref", "DerefMut", "Wrapping", "Reverse"}
)  # fmt: skip
"""A method that these do not have is looked up on what they hold."""

LOCKS = frozenset({"Mutex", "RwLock", "ReentrantMutex", "FairMutex"})
LOCK_METHODS = frozenset(
    """lock read write try_lock try_read try_write blocking_lock blocking_read blocking_write upgradable_read lock_owned
    read_owned write_owned get_mut into_inner unwrap expect unwrap_or_else map_err ok as_ref as_mut clone""".split()  # noqa: SIM905
)
"""What locks are asked for; any other method is one of what they guard: a lock stands for its guard, too."""

CELLS = LOCKS | {"RefCell", "Cell"}
FOLLOWED = TRANSPARENT | CELLS
"""A method is looked up on what these hold."""

_LIKE_CONTENT = frozenset({"clone", "cmp", "eq", "fmt", "hash", "ne", "partial_cmp"})
_LIKE_BOX = _LIKE_CONTENT | frozenset(
    """cause description flush next next_back nth read read_exact read_to_end read_to_string size_hint source write
    write_all write_fmt""".split()  # noqa: SIM905
)
OWN_METHODS = {"Box": _LIKE_BOX, **dict.fromkeys(("Rc", "Arc", "Cow", "Reverse", "Wrapping", "Pin"), _LIKE_CONTENT)}
"""Methods that pointers have themselves where their content has them: these are not looked up on the content."""

MAPS = frozenset({"HashMap", "BTreeMap", "IndexMap", "FxHashMap", "AHashMap", "DashMap"})

INNER = frozenset(
    """unwrap expect unwrap_or unwrap_or_else unwrap_or_default unwrap_unchecked into_inner get_or_insert_with
    get_or_insert insert_or get_or_init or_insert_with or_insert or_default map_or force take_inner make_mut
    unwrap_or_clone get_mut_or_init swap_remove""".split()  # noqa: SIM905
)
"""They give what Some, Ok or a lock holds."""

KEPT = frozenset(
    """clone to_owned as_ref as_mut as_deref as_deref_mut borrow borrow_mut iter iter_mut into_iter by_ref rev skip
    take filter peekable chain cloned copied ok or or_else inspect drain lock read write try_lock next
    next_back peek last first last_mut first_mut get get_mut pop pop_front pop_back push_back front back nth
    find remove min max min_by max_by min_by_key max_by_key collect skip_while take_while step_by fuse cycle
    as_slice as_mut_slice to_vec into_boxed_slice ok_or ok_or_else map_err context with_context to_mut
    into_owned replace recv try_recv blocking_lock upgrade downgrade entry sorted dedup flatten_ok await_ok
    transpose expect_none and_modify as_pin_mut get_ref deref deref_mut into_sorted_vec unwrap_or_abort
    some_if set new_unchecked wrap_err rposition split_off resume finish_non_exhaustive try_read try_write
    upgradable_read project project_ref as_pin_mut get_unchecked_mut""".split()  # noqa: SIM905
)
"""They give a wrapper of the same parts: of values that are found, iterated over, or guarded."""

INNER_OF = {
    "Vec": frozenset({"remove"}),
    "NonNull": frozenset({"as_ref", "as_mut", "as_ptr"}),
    "Cell": frozenset({"get", "take", "replace"}),
    "RefCell": frozenset({"take", "replace"}),
}
"""The same, of one type only."""

VALUES = frozenset({"get", "get_mut", "remove", "insert", "entry"})
MAPPING = frozenset(
    """map and_then flat_map filter_map map_while scan zip unzip partition group_by flatten unique
    map_ok filter_map_ok and xor then interleave intersperse tuple_windows cartesian_product zip_longest""".split()  # noqa: SIM905
)
"""They give a wrapper of other parts."""

PARTING = frozenset({"chunks", "chunks_exact", "chunks_mut", "rchunks", "windows"})
"""They yield slices of the same parts."""

LENDING_CLOSURES = frozenset({"with", "try_with", "with_borrow", "with_borrow_mut", "with_mut", "inspect", "tap"})
"""Methods whose closure is handed the receiver itself, or what it guards."""

PLAIN = frozenset(
    """len count is_empty is_some is_none is_ok is_err contains contains_key to_string as_str as_bytes chars bytes
    lines trim starts_with ends_with any all position capacity to_lowercase to_uppercase keys_len display
    to_string_lossy is_some_and eq ne cmp partial_cmp hash fmt extend push clear sort retain truncate
    push_str reserve""".split()  # noqa: SIM905
)
"""They give plain values whatever they are called on."""

OPEN = frozenset(
    """fold try_fold sum product parse into try_into from into_iter_map then_some reduce map_or_else with call
    apply scope block_on spawn downcast downcast_ref downcast_mut get_one get_many deserialize try_get
    extract join_next run_until with_borrow with_borrow_mut default""".split()  # noqa: SIM905
)
"""What they give depends on a closure or on what is asked for: unknown."""

SELF_MADE = frozenset(
    """default new from parse from_str try_from from_arg_matches clone deserialize from_iter try_parse parse_from
    try_parse_from""".split()  # noqa: SIM905
)
"""Associated functions of foreign traits that give a value of the type that they are called on."""

ELEMENT_CLOSURES = frozenset(
    """fold try_fold scan reduce map for_each filter any all find and_then flat_map filter_map position take_while
    skip_while inspect is_some_and is_none_or retain max_by_key min_by_key sort_by_key map_while partition
    map_or sort_by max_by min_by group_by try_for_each find_map is_ok_and rposition sort_unstable_by
    sort_unstable_by_key dedup_by_key and_modify then binary_search_by_key map_ok for_each_concurrent update
    binary_search_by partition_point
    retain_mut count_by sorted_by sorted_by_key par_iter_map with_borrow with_borrow_mut""".split()  # noqa: SIM905
)
"""Methods whose closure is handed what the receiver holds or yields."""

ERROR_CLOSURES = frozenset({"map_err", "unwrap_or_else", "or_else", "inspect_err", "is_err_and"})

COMMON_METHODS = (
    INNER
    | KEPT
    | MAPPING
    | PARTING
    | LENDING_CLOSURES
    | VALUES
    | PLAIN
    | OPEN
    | SELF_MADE
    | ELEMENT_CLOSURES
    | ERROR_CLOSURES
) | frozenset(
    """abort abs add add_assign all_mut append arg args as_any as_os_str as_path build bytes_mut canonicalize
    children close code compare_exchange concat create create_dir current_dir dec decode div drop elapsed
    encode end env err errno exists exit exit_code expect_err extension fetch_add fetch_sub file_name
    file_stem file_type fill find_iter finish flush format from_utf8 full get_unchecked header headers id
    inc index index_mut insert insert_str is_absolute is_alive is_char_boundary is_dir is_file is_finished
    is_match is_relative is_symlink iter_all key keyed keys kill kind line load log make_ascii_lowercase
    message metadata mode modified mul name neg not now open output parent path peek_mut permissions poll
    poll_close poll_complete poll_flush poll_next poll_read poll_ready poll_shutdown poll_write pow print
    println process push_front put range read_dir read_exact read_line read_link read_to_end read_to_string
    register remainder repeat reset resize resolve rotate_left rsplit run send serialize set_len shutdown
    signal size size_hint sleep source spawn split split_at split_once splitn start status stderr stdin
    stdout stop store strip_prefix strip_suffix sub symlink symlink_metadata sync_all test text tick timeout
    to_path_buf to_str to_vec trim_end trim_matches trim_start try_send try_wait type_id unwrap_err update
    url value version visit wait wake with_capacity with_extension with_file_name wrapping_add wrapping_sub
    write_all write_char write_fmt write_str write_to xor yield_now""".split()  # noqa: SIM905
)
"""A receiver of unknown type is more likely to be of another crate when its method has one of these names."""
