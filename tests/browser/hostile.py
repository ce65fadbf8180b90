# ruff: noqa: E501 - the rows of a corpus
"""R28: texts that want to be more than text, wherever a person's words reach the page."""

from __future__ import annotations

MARK = "window.__ran = (window.__ran || 0) + 1"

ACTIVE: tuple[str, ...] = (
    f"<script>{MARK}</script>",
    f"<img src=x onerror='{MARK}'>",
    f'<img src="x" onerror="{MARK}">',
    f"<svg onload='{MARK}'></svg>",
    f"<svg><script>{MARK}</script></svg>",
    f"<svg><animate onbegin='{MARK}' attributeName=x dur=1s></svg>",
    f"<body onload='{MARK}'>",
    f'<iframe srcdoc="<script>parent.{MARK[7:]}</script>"></iframe>',
    f"<iframe src='javascript:parent.{MARK[7:]}'></iframe>",
    f"<details open ontoggle='{MARK}'>x</details>",
    f"<input autofocus onfocus='{MARK}'>",
    f"<video><source onerror='{MARK}'></video>",
    f"<audio src=x onerror='{MARK}'></audio>",
    f"<marquee onstart='{MARK}'>x</marquee>",
    f"<math><mtext><table><mglyph><style><img src=x onerror='{MARK}'>",
    f"<noscript><p title=\"</noscript><img src=x onerror='{MARK}'>\">",
    f"</textarea><img src=x onerror='{MARK}'>",
    f"</title><img src=x onerror='{MARK}'>",
    f"'\"><img src=x onerror='{MARK}'>",
    f"--><img src=x onerror='{MARK}'>",
    f"]]><img src=x onerror='{MARK}'>",
    f"<a href='javascript:{MARK}' autofocus onfocus='{MARK}' tabindex=0>click</a>",
    f"<form><button autofocus onfocus='{MARK}'>x</button></form>",
    f'<object data="javascript:{MARK}"></object>',
    f'<embed src="javascript:{MARK}">',
    f"<style>@keyframes x{{}}</style><b style='animation-name:x' onanimationstart='{MARK}'>x</b>",
    f"<meta http-equiv=refresh content='0;url=javascript:{MARK}'>",
    f"<base href='javascript:{MARK}//'>",
    f"<template><img src=x onerror='{MARK}'></template><img src=x onerror='{MARK}'>",
    f"<x onclick='{MARK}' style='position:fixed;inset:0'>x</x>",
)
"""Markup that runs when somebody parses it. Which of them run at once is what the control finds out."""

QUIET: tuple[str, ...] = (
    "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>",
    "__proto__", "constructor", "toString", "&lt;b&gt;not bold&lt;/b&gt;", "&#x3c;script&#x3e;", "<b>not bold</b>",
    "<!-- gone -->", "<![CDATA[x]]>", "\\u003cscript\\u003e", "%3Cscript%3E", "**not bold** _nor this_ `code`",
    "[link](javascript:alert(1))", "![img](http://evil.example/x.png)", "@everyone <@123> #channel",
    "http://evil.example/track.png", "a\tb", "a\u00a0b", "' OR 1=1 --", "=cmd|'/c calc'!A0", "../../etc/passwd",
    "%s%s%n", "\u202egnp.exe", "\u202aabc\u202b\u202c", "\u2066ab\u2067cd\u2069", "\u200fשלום\u200e abc", "مرحبا بالعالم 123",
    "שלום עולם", "abc \u202e fed", "\u061c", "Z̸̢͝a̷̛l̴g̵o̶" * 20, "👩‍👩‍👧‍👦🏳️‍🌈🇪🇸", "😀" * 500, "\u0301" * 100, "\ufdfd" * 50,
    "x" * 4_000, "word " * 800, "\n" * 30 + "end", "line\n" * 200, "\u2028\u2029", "\ufeff\u200b\u200d", "\u0007\u001b[31mred",
    "\u0085\u000b\u000c", "\U000e0041\U000e0042", "null", "undefined", "NaN", "true", "0", "-1", "[object Object]",
    "ⓣⓔⓧⓣ", "ｆｕｌｌ ｗｉｄｔｈ", "ℝ𝕖𝕒𝕝", "ﷺ" * 30, "\u1680\u180e\u3000", "a\u034fb", "กกกกกกกกกก" * 40, "漢字" * 400,
)  # fmt: skip
"""Texts that are only text, and must look like it."""
