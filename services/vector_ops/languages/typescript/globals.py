"""Names that belong to the language, its runtimes and its test runners."""

import re

_TEST = re.compile(r"%?(?:Deno\.)?(?:it|test|specify|fit|xit)(?:\.|$)")
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
METHODS = frozenset(_METHODS.split())
"""Methods so common outside that a bare name on an unknown receiver says nothing."""


def is_test_call(called: str) -> bool:
    """Return whether this callee (a notation) declares one test: `it`, `test.only`, `%Deno.test`."""
    return _TEST.match(called) is not None


def tells_nothing(called: str) -> bool:
    """Return whether what a global callee (a notation) gives may still be ours: `Object.values(ours)`."""
    return called.startswith(_UNTELLING)
