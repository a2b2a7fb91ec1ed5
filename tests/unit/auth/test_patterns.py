"""PCRE's expressions in Python's `re`: same faults, same matches."""

import pytest

from mqd.auth.patterns import InvalidPattern, compile_pattern

# recorded: Erlang/OTP 25, re:compile/1
ACCEPTED = [
    "a{,5}",
    "a{1",
    "x*+",
    "\\y",
    "[\\y]",
    "{5",
    "(?=a)*",
    "|",
    "",
    "a|",
    "\\Qab",
    "\\E",
    "ab\\x",
    "\\8",
    "\\99",
    "a{65535}",
    "a++b",
    "(a)(?(1)b|c)",
    "\\pL",
    "\\p{Lu}",
    "[\\p{L}x]",
    "[\\b]",
    "[\\B]",
    "[\\R]",
    "\\x{ff}",
    "\\x4",
    "\\0",
    "\\377",
    "[a-]",
    "[-a]",
    "[a-z-9]",
    "[\\d-z]",
    "[a\\]b]",
    "[]a]",
    "(?i)a",
    "a(?i)b|c",
    "(?i-s:a)",
    "(?-i)a",
    "(?x) a b # c",
    "\\Qa*\\E*",
    "(?'n'a)",
    "[[:^alpha:]]",
    "[a[:digit:]-z]",
    "\\G",
    "\\Ka",
    "(?s).",
    "(?m)^a$",
    "a{",
    "a{}",
    "a{,}",
    "(?:)*",
    "()*",
    "(?=)*",
    "a\\E*",
    "a(?#x)*",
    "(a)\\g{-1}",
    "(a)\\g1",
    "(a)\\10",
    "(a)\\18",
    "\\X",
    "\\C",
    "\\R*",
    "\\i",
    "(?<!a)b",
    "[[:alpha:]-z]",
    "(?P<n>a)(?P=n)",
]
REFUSED = [
    ("*", "nothing to repeat", 0),
    ("a**", "nothing to repeat", 2),
    ("(", "missing )", 1),
    (")", "unmatched parentheses", 0),
    ("a)", "unmatched parentheses", 1),
    ("[", "missing terminating ] for character class", 1),
    ("[a", "missing terminating ] for character class", 2),
    ("a[b-", "missing terminating ] for character class", 4),
    ("[z-a]", "range out of order in character class", 3),
    ("a{2,1}", "numbers out of order in {} quantifier", 5),
    ("a{99999}", "number too big in {} quantifier", 7),
    ("\\", "\\ at end of pattern", 1),
    ("a\\", "\\ at end of pattern", 2),
    ("(?", "unrecognized character after (? or (?-", 2),
    ("(?P<", "syntax error in subpattern name (missing terminator)", 4),
    ("(?P<n", "syntax error in subpattern name (missing terminator)", 5),
    ("(?<n>a)(?<n>b)", "two named subpatterns have the same name", 11),
    ("(?z)", "unrecognized character after (? or (?-", 2),
    ("\\1", "reference to non-existent subpattern", 2),
    ("(a)\\2", "reference to non-existent subpattern", 5),
    ("[[:foo:]]", "unknown POSIX class name", 3),
    ("+", "nothing to repeat", 0),
    ("?", "nothing to repeat", 0),
    ("a|*", "nothing to repeat", 2),
    ("(*", "nothing to repeat", 1),
    ("(+)", "nothing to repeat", 1),
    ("(?:", "missing )", 3),
    ("[]", "missing terminating ] for character class", 2),
    ("\\x{zz}", "non-hex character in \\x{} (closing brace missing?)", 3),
    ("\\c", "\\c at end of pattern", 2),
    ("\\k<x>", "reference to non-existent subpattern", 4),
    ("(?P=foo)", "reference to non-existent subpattern", 7),
    ("^*", "nothing to repeat", 1),
    ("{1}", "nothing to repeat", 2),
    ("a***", "nothing to repeat", 2),
    ("a*?*", "nothing to repeat", 3),
    ("((a)", "missing )", 4),
    ("(a))", "unmatched parentheses", 3),
    ("\\p{Foo}", "unknown property name after \\P or \\p", 6),
    ("\\N{U+41}", "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u", 1),
    ("\\u0041", "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u", 1),
    ("\\L", "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u", 1),
    ("(?#abc", "missing ) after comment", 6),
    ("(?(1)a|b|c)", "reference to non-existent subpattern", 5),
    ("(?(x)a)", "reference to non-existent subpattern", 5),
    ("[[.a.]]", "POSIX collating elements are not supported", 1),
    ("(?-x", "unrecognized character after (? or (?-", 4),
    ("(*FOO)a", "(*VERB) not recognized or malformed", 5),
    ("[a-\\d]", "invalid range in character class", 4),
    ("\\o{8}", "non-octal character in \\o{} (closing brace missing?)", 3),
    ("a{0}*", "nothing to repeat", 4),
    ("$*", "nothing to repeat", 1),
    ("\\b*", "nothing to repeat", 2),
    ("(?<1a>x)", "group name must start with a non-digit", 3),
    ("(?P<a-b>x)", "syntax error in subpattern name (missing terminator)", 5),
    ("(?<n>x)\\k<m>", "reference to non-existent subpattern", 11),
    ("[b-a", "range out of order in character class", 3),
    ("(?i", "unrecognized character after (? or (?-", 3),
    ("(?i:", "missing )", 4),
    ("(?P", "unrecognized character after (?P", 3),
    ("(?Px", "unrecognized character after (?P", 3),
    ("(?<", "unrecognized character after (?<", 3),
    ("(?<a", "syntax error in subpattern name (missing terminator)", 4),
    ("(?!", "missing )", 3),
    ("(?=", "missing )", 3),
    ("a{65536}", "number too big in {} quantifier", 7),
    ("ab+*", "nothing to repeat", 3),
    ("abc{1}{2}", "nothing to repeat", 8),
    ("[^]", "missing terminating ] for character class", 3),
    ("[^", "missing terminating ] for character class", 2),
    ("a{1,2}{3}*", "nothing to repeat", 8),
    ("a{2}*", "nothing to repeat", 4),
    ("a{1,99999}", "number too big in {} quantifier", 9),
    ("\\p", "malformed \\P or \\p sequence", 2),
    ("\\pl", "unknown property name after \\P or \\p", 2),
    ("\\x{100}", "character value in \\x{} or \\o{} is too large", 6),
    ("\\o1", "missing opening brace after \\o", 1),
    ("\\777", "octal value is greater than \\377 in 8-bit non-UTF-8 mode", 3),
    ("(?^a)", "unrecognized character after (? or (?-", 2),
    ("(?'n", "syntax error in subpattern name (missing terminator)", 4),
    ("[[:alpha:]", "missing terminating ] for character class", 10),
    ("(a|b", "missing )", 4),
    ("(?i)*", "nothing to repeat", 4),
    ("|*", "nothing to repeat", 1),
    ("a|+b", "nothing to repeat", 2),
    ("\\A*", "nothing to repeat", 2),
    ("\\z+", "nothing to repeat", 2),
    ("\\K*", "nothing to repeat", 2),
    ("\\E*", "nothing to repeat", 2),
    ("(?#x)*", "nothing to repeat", 5),
    ("\\g{0}", "a numbered reference must not be zero", 4),
    ("\\g{-1}", "reference to non-existent subpattern", 5),
    ("\\k", "\\k is not followed by a braced, angle-bracketed, or quoted name", 1),
    ("\\U", "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u", 1),
    ("\\l", "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u", 1),
    ("(?<=a", "missing )", 5),
    ("((((", "missing )", 4),
    ("[[=a=]]", "POSIX collating elements are not supported", 1),
    ("[:alpha:]", "POSIX named classes are supported only within a class", 0),
]


@pytest.mark.parametrize("pattern", ACCEPTED)
def test_accepted(pattern):
    compile_pattern(pattern)


@pytest.mark.parametrize(("pattern", "reason", "offset"), REFUSED)
def test_refused(pattern, reason, offset):
    with pytest.raises(InvalidPattern) as caught:
        compile_pattern(pattern)
    assert (caught.value.reason, caught.value.offset) == (reason, offset)


# recorded: Erlang/OTP 25, re:run/3 over these subjects, 1 for a match
SUBJECTS = ["", "a", "b", "ab", "aab", "AB", "a.b", "é", "1", "a\n", "\n", "a b", "ba\nab", ".*"]
MATCHES = [
    ("^a$", "01000000010000"),
    ("^a\\z", "01000000000000"),
    ("^a\\Z", "01000000010000"),
    ("a(?i)b|B", "00111110000110"),
    ("(?i)ab", "00011100000010"),
    ("(?i:a)b", "00011000000010"),
    ("a{2}", "00001000000000"),
    ("a{,2}", "00000000000000"),
    ("^a{1,2}b", "00011000000000"),
    ("[[:alpha:]]", "01111111010110"),
    ("[^[:alpha:]]", "00000011111111"),
    ("^\\w+$", "01111100110000"),
    ("^\\W+$", "00000000001001"),
    ("\\bb", "00100010000110"),
    ("\\Bb", "00011000000010"),
    ("^.$", "01100000110000"),
    ("(?s)^.$", "01100000111000"),
    ("^\\N$", "01100000110000"),
    ("^\\R$", "00000000001000"),
    ("\\Q.*\\E", "00000000000001"),
    ("\\Qa.b", "00000010000000"),
    ("[.*]", "00000010000001"),
    ("^[^a]", "00100101101011"),
    ("[]a]", "01011010010110"),
    ("[a-]", "01011010010110"),
    ("(a)\\1", "00001000000000"),
    ("(?P<n>a)(?P=n)", "00001000000000"),
    ("(?<n>a)\\k<n>", "00001000000000"),
    ("(?m)^ab$", "00010000000010"),
    ("a b", "00000000000100"),
    ("(?x)a b", "00011000000010"),
    ("(?x)a#c\nb", "00011000000010"),
    ("a++b", "00011000000010"),
    ("a+?b", "00011000000010"),
    ("(?>a+)b", "00011000000010"),
    ("(?=a)", "01011010010110"),
    ("(?!a)", "11111111111111"),
    ("(?<=a)b", "00011000000010"),
    ("(?<!a)b", "00100010000110"),
    ("^(a)?(?(1)a|b)", "00101000000010"),
    ("\\x61b", "00011000000010"),
    ("\\x{61}b", "00011000000010"),
    ("\\141b", "00011000000010"),
    ("\\p{Lu}", "00000101000000"),
    ("\\pN", "00000000100000"),
    ("\\P{L}", "00000011111111"),
    ("\\h", "00000000000100"),
    ("^$", "10000000001000"),
    ("", "11111111111111"),
    ("(?-i)A", "00000100000000"),
    ("\\Ga", "01011010010100"),
    ("a\\Kb", "00011000000010"),
    ("\\101", "00000100000000"),
    ("\\y", "00000000000000"),
    ("a|", "11111111111111"),
    ("[\\x61-b]{2}", "00011000000010"),
    ("[a\\-z]", "01011010010110"),
    ("\\.", "00000010000001"),
    ("[\\Q.*\\E]", "00000010000001"),
    ("(?#x)A", "00000100000000"),
    ("\\N{2}a", "00000000000000"),
    ("\\A\\s", "00000000001000"),
]


@pytest.mark.parametrize(("pattern", "matches"), MATCHES)
def test_matches(pattern, matches):
    compiled = compile_pattern(pattern)

    found = "".join("1" if compiled.search(text.encode()) else "0" for text in SUBJECTS)

    assert found == matches


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("*", "{:invalid_regexp, '*', {'nothing to repeat', 0}}"),
        (
            "[é",
            "{:invalid_regexp, [91, 195, 169], {'missing terminating ] for character class', 3}}",
        ),
        ("'(", "{:invalid_regexp, '\\'(', {'missing )', 2}}"),
    ],
)
def test_message_is_what_rabbitmqctl_prints(pattern, shown):
    with pytest.raises(InvalidPattern) as caught:
        compile_pattern(pattern)
    assert caught.value.detail == shown


@pytest.mark.parametrize("pattern", ["(?R)", "(?P>n)", "(?1)", "(?|a|b)", "(*COMMIT)a", "(?C1)a"])
def test_what_python_cannot_say_is_refused(pattern):
    with pytest.raises(InvalidPattern):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(" * 5000, "(" * 130 + ")" * 130, "a" * 70_000])
def test_bounded(pattern):
    with pytest.raises(InvalidPattern):
        compile_pattern(pattern)


def test_nesting_within_bounds():
    assert compile_pattern("(" * 100 + "a" + ")" * 100).search(b"a")
