"""Names that belong to the language, its runtimes and its test runners."""

import re

from services.vector_ops.languages.facts import FILE, FileFacts

_TEST = re.compile(r"%?(?:Deno\.)?(?:it|test|specify|fit|xit)(?:\.|$)")
_DECLARATION = re.compile(r"\.d\.[cm]?ts$")
_GLOBALS_CAP = 2_000
_ENDS = re.compile(r"[.<()!\[\]~>^]")
_UNTELLING = ("%Object.", "%Promise.", "%JSON.parse", "%Array.", "%Reflect.", "%structuredClone", "%globalThis")
_METHODS = """
    push pop shift unshift slice splice concat join reverse indexOf lastIndexOf forEach map filter reduce reduceRight
    some every find findIndex findLast findLastIndex fill includes flat flatMap entries keys values sort at copyWithin
    charAt charCodeAt codePointAt endsWith localeCompare match matchAll normalize padEnd padStart repeat replace
    replaceAll search split startsWith substring substr toLowerCase toUpperCase trim trimEnd trimStart toLocaleString
    toString valueOf hasOwnProperty isPrototypeOf then catch finally call apply bind get set has add delete clear next
    return throw test exec toFixed toPrecision getTime toISOString toJSON json text arrayBuffer blob formData clone
    append getAll log warn error info debug trace addEventListener removeEventListener dispatchEvent querySelector
    querySelectorAll getElementById getAttribute setAttribute removeAttribute appendChild removeChild insertBefore
    createElement preventDefault stopPropagation click focus blur remove contains encode decode abort read write close
    cancel enqueue pipe pipeTo pipeThrough getReader getWriter on once off emit send end resolve reject
    toBe toEqual toStrictEqual toThrow toThrowError toMatch toMatchObject toContain toContainEqual toHaveLength
    toHaveProperty toBeNull toBeUndefined toBeDefined toBeTruthy toBeFalsy toBeInstanceOf toBeGreaterThan toBeLessThan
    toBeCloseTo toHaveBeenCalled toHaveBeenCalledWith toHaveBeenCalledTimes toHaveBeenLastCalledWith toMatchSnapshot
    toMatchInlineSnapshot toEqualTypeOf toMatchTypeOf mockReturnValue mockImplementation mockResolvedValue
    mockRejectedValue mockRestore mockReset mockClear
    equal deepEqual strictEqual notEqual throws rejects doesNotThrow ok
"""
_STANDARD = """
    AggregateError Array ArrayBuffer ArrayLike Atomics BigInt BigInt64Array BigUint64Array Boolean DataView Date Error
    EvalError FinalizationRegistry Float32Array Float64Array Function Infinity Int16Array Int32Array Int8Array Intl
    Iterator JSON Map Math NaN Number Object Promise PromiseLike Proxy RangeError ReferenceError Reflect RegExp Set
    SharedArrayBuffer String Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array
    Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly arguments decodeURI decodeURIComponent encodeURI
    encodeURIComponent escape eval isFinite isNaN parseFloat parseInt undefined unescape globalThis
    Readonly Partial Required Pick Omit Record Exclude Extract NonNullable Parameters ConstructorParameters ReturnType
    InstanceType ThisType ThisParameterType OmitThisParameter Awaited NoInfer Uppercase Lowercase Capitalize
    Uncapitalize ReadonlyArray ReadonlyMap ReadonlySet Iterable IterableIterator IteratorResult AsyncIterable
    AsyncIterator AsyncIterableIterator Generator AsyncGenerator GeneratorFunction TemplateStringsArray PropertyKey
    PropertyDescriptor PropertyDescriptorMap ClassDecorator MethodDecorator PropertyDecorator ParameterDecorator
    AbortController AbortSignal Blob BroadcastChannel Buffer CSS CSSStyleDeclaration CustomEvent DOMException DOMParser
    DOMRect Document DocumentFragment DragEvent Element Event EventInit EventListener EventSource EventTarget File
    FileList FileReader FocusEvent FormData HTMLAnchorElement HTMLButtonElement HTMLCanvasElement HTMLDivElement
    HTMLElement HTMLFormElement HTMLImageElement HTMLInputElement HTMLScriptElement HTMLSelectElement HTMLStyleElement
    HTMLTextAreaElement Headers HeadersInit Image InputEvent IntersectionObserver JSX KeyboardEvent Location
    MessageChannel MessageEvent MessagePort MouseEvent MutationObserver Navigator Node NodeJS NodeList Notification
    PointerEvent ProgressEvent Range ReadableStream Request RequestInfo RequestInit ResizeObserver Response
    ResponseInit SVGElement Selection ShadowRoot Storage Text TextDecoder TextEncoder TouchEvent TransformStream UIEvent
    URL URLSearchParams WebSocket WheelEvent Window Worker WritableStream XMLHttpRequest alert atob btoa
    cancelAnimationFrame clearImmediate clearInterval clearTimeout confirm console crypto customElements document
    fetch getComputedStyle history indexedDB localStorage location matchMedia navigator performance postMessage
    process prompt queueMicrotask reportError requestAnimationFrame requestIdleCallback screen self sessionStorage
    setImmediate setInterval setTimeout structuredClone window
    require module exports __dirname __filename global Deno Bun
    describe fdescribe xdescribe context suite it fit xit specify test expect expectTypeOf assert should jest vi sinon
    chai jasmine cy Cypress before after beforeEach afterEach beforeAll afterAll QUnit
"""
STANDARD = frozenset(_STANDARD.split())
"""Names of the language, its runtimes and its test runners; any other global may be declared in the repository."""
METHODS = frozenset(_METHODS.split())
"""Methods so common outside that a bare name on an unknown receiver says nothing."""


def is_test_call(called: str) -> bool:
    """Return whether this callee (a notation) declares one test: `it`, `test.only`, `%Deno.test`."""
    return _TEST.match(called) is not None


def is_declarable(notation: str) -> bool:
    """Return whether a notation starts with a global (`%Name`) that the repository itself may declare."""
    return len(notation) > 1 and _ENDS.split(notation[1:], 1)[0] not in STANDARD


def tells_nothing(called: str) -> bool:
    """Return whether what a global callee (a notation) gives may still be ours: `Object.values(ours)`."""
    return called.startswith(_UNTELLING)


def list_globals(path: str, facts: FileFacts) -> tuple[str, ...]:
    """Return `global:X` for each name that a file declares for all others.

    In `declare global`, or at the top of a declaration file that neither imports nor exports. An interface of which
    no member can be called by its name is left out: symbols as keys augment a type in very many files.
    """
    symbols = facts.symbols
    owners = {at for at, one in enumerate(symbols) if one.kind == "module" and one.qualname == "global"}
    if _DECLARATION.search(path) and not facts.imports:
        is_module = any(one.owner == FILE and one.signature.startswith("export ") for one in symbols)
        owners |= set() if is_module else {FILE}
    if not owners:
        return ()
    named = {one.owner for one in symbols if one.name[:1] != "["}
    found = (
        one.name
        for at, one in enumerate(symbols)
        if one.owner in owners and (one.kind != "interface" or at in named or one.bases or "(" in one.type)
    )
    return tuple(f"global:{name}" for name in list(dict.fromkeys(found))[:_GLOBALS_CAP])
