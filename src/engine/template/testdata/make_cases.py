#!/usr/bin/env python3
"""Writes cases.json: templates, variables, and what Jinja2 makes of them.

Needs python3-jinja2; the tests read the file and need nothing. The environment is the one that the
transformers library gives to chat templates: a sandbox, trim_blocks, lstrip_blocks, loop controls,
tojson without escapes, raise_exception, strftime_now, and {% generation %}.
Run it in this folder after changing a case:  ./make_cases.py
"""
import datetime
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2026, 3, 7, 9, 5, 2)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    @staticmethod
    def _same(caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: NOW.strftime(f)
    return env


DATA = {
    "s": "Hello, World", "u": "Žluťoučký 日本 🙂", "empty": "", "sp": "  a b\t\n", "n": 7, "neg": -3,
    "f": 2.5, "big": 1e22, "small": 1.5e-7, "t": True, "no": False, "nil": None,
    "l": [3, 1, 2], "words": ["pear", "Apple", "fig"], "nested": [[1, 2], ["x"]], "none_list": [],
    "d": {"b": 1, "a": "x", "items": 5, "k y": None},
    "people": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 25},
               {"name": "Cy", "age": 31, "boss": {"name": "Ann"}}],
    "quote": "it's \"quoted\" \\ & <b>", "lines": "one\ntwo\n\nfour", "html": "<a href='x'>&</a>",
}

# One template a line; each is run on DATA.
LANGUAGE = r"""
{{ s }} {{ n }} {{ f }} {{ t }} {{ nil }} {{ missing }}|
{{ big }} {{ small }} {{ 1.0 }} {{ 1e16 }} {{ 123456789.125 }} {{ 0.1 + 0.2 }} {{ -0.0 }}
{{ l }} {{ words }} {{ d }} {{ (1,) }} {{ (1, 2) }} {{ [] }} {{ {} }} {{ quote.split() }} {{ [u, "a\nb"] }}
{{ n + 1 }} {{ n - 10 }} {{ n * 2 }} {{ n / 2 }} {{ n // 2 }} {{ neg // 2 }} {{ n % 4 }} {{ neg % 4 }} {{ 2 ** 10 }} {{ -n }} {{ +n }}
{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1 / 4 }} {{ 2 ** -1 }} {{ 2 * "ab" }} {{ [0] * 3 }} {{ "a" + "b" }} {{ [1] + [2] }}
{{ "a" ~ 1 ~ none ~ 2.0 ~ true }} {{ 1 ~ 2 }}
{{ n == 7 }} {{ n != 7 }} {{ n < 8 <= 8 }} {{ 1 < 2 < 2 }} {{ "a" < "b" }} {{ 1 == 1.0 }} {{ true == 1 }} {{ [1] == [1] }} {{ none == false }}
{{ "ell" in s }} {{ 3 in l }} {{ 9 not in l }} {{ "a" in d }} {{ "zz" in missing }} {{ not "x" in s }}
{{ n if t else "no" }}{{ "gone" if no }}{{ 1 if no else 2 if no else 3 }}
{{ t and "yes" }} {{ no or "alt" }} {{ none or 0 or "" or "last" }} {{ not t }} {{ not none_list }} {{ t and no or 5 }}
{{ s[0] }}{{ s[-1] }}{{ s[1:4] }}{{ s[::-1] }}{{ s[:-7] }}{{ s[7:] }}{{ s[::2] }} {{ l[1:] }} {{ l[::-1] }} {{ l[-2:] }} {{ l[5:] }} {{ u[10:12] }}
{{ d.b }} {{ d["a"] }} {{ d["items"] }} {{ d.nope }}| {{ d["nope"] is defined }} {{ people[0].name }} {{ people[2]["boss"].name }} {{ l.0 }}
{{ s | upper }} {{ s | lower }} {{ u | upper }} {{ u | length }} {{ "hello wORLD foo-bar" | title }} {{ "hELLO" | capitalize }}
[{{ sp | trim }}] [{{ "xxaxx" | trim("x") }}] [{{ sp.strip() }}] [{{ sp.lstrip() }}] [{{ sp.rstrip() }}] [{{ "xyax".strip("xy") }}]
{{ words | join(", ") }} {{ l | join }} {{ people | join("; ", attribute="name") }} {{ "abc" | join("-") }}
{{ l | sort }} {{ words | sort }} {{ words | sort(reverse=true) }} {{ words | sort(case_sensitive=true) }} {{ people | sort(attribute="age") | map(attribute="name") | list }}
{{ l | first }} {{ l | last }} {{ none_list | first }}| {{ l | length }} {{ d | length }} {{ s | count }} {{ missing | length }}
{{ l | reverse | list }} {{ s | reverse }} {{ l | sum }} {{ l | min }} {{ l | max }} {{ people | sum(attribute="age") }} {{ people | map(attribute="age") | max }}
{{ people | map(attribute="name") | join(",") }} {{ words | map("upper") | list }} {{ words | map("replace", "p", "_") | join(" ") }} {{ people | map(attribute="boss.name", default="-") | list }}
{{ people | selectattr("age", "equalto", 31) | map(attribute="name") | list }} {{ people | selectattr("tags") | list | length }} {{ people | rejectattr("boss", "defined") | map(attribute="name") | list }}
{{ l | select("odd") | list }} {{ l | reject("gt", 1) | list }} {{ [0, "", "x", none] | select | list }} {{ l | select("in", [1, 2]) | list }}
{{ missing | default("dflt") }} {{ empty | default("dflt") }}| {{ empty | default("dflt", true) }} {{ nil | default("x") }} {{ nil | d("x", boolean=true) }} {{ missing | default }}|
{{ "12" | int }} {{ "x" | int }} {{ "x" | int(-1) }} {{ "3.9" | int }} {{ 3.9 | int }} {{ "ff" | int(base=16) }} {{ "2.5" | float }} {{ "q" | float }} {{ 3 | float }}
{{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.1 | round(method="ceil") }} {{ -2.5 | abs }} {{ 42.55 | round(1, "floor") }} {{ 7 | abs }}
{{ s | replace("l", "L") }} {{ s | replace("l", "L", 1) }} {{ s.replace("o", "0") }} {{ s.replace("l", "", 2) }} {{ "aaa".replace("", "-") }}
{{ d | items | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list }} {{ d.get("a") }} {{ d.get("zz") }} {{ d.get("zz", 9) }} {{ d | dictsort }}
{{ d | tojson }} {{ people | tojson }} {{ u | tojson }} {{ quote | tojson }} {{ [1.0, 2.5, none, true] | tojson }} {{ "\u0001\t" | tojson }} {{ u | tojson(ensure_ascii=true) }}
{{ people[0] | tojson(indent=2) }} {{ [] | tojson(indent=4) }} {{ {"a": {}, "b": [[]]} | tojson(indent=1) }} {{ d | tojson(sort_keys=true) }} {{ l | tojson(separators=(",", ":")) }} {{ {1: 2, none: 3, true: 4} | tojson }}
{{ s.split(", ") }} {{ "a,b,c".split(",", 1) }} {{ "a,b,c".rsplit(",", 1) }} {{ " a  b ".split() }} {{ "a b c".split(none, 1) }} {{ "a b  c d".rsplit(none, 2) }} {{ lines.splitlines() }} {{ "".split(",") }}
{{ s.startswith("He") }} {{ s.endswith("d") }} {{ s.startswith(("x", "H")) }} {{ s.find("o") }} {{ s.rfind("o") }} {{ s.find("zz") }} {{ s.count("l") }} {{ s.index("W") }}
{{ s.upper() }} {{ s.lower() }} {{ "they're bill's".title() }} {{ "aBC".capitalize() }} {{ "12".isdigit() }} {{ "".isdigit() }} {{ "ab".isalpha() }} {{ "a1".isalnum() }} {{ " ".isspace() }} {{ "AB".isupper() }} {{ "aB".swapcase() }}
{{ "-".join(words) }} {{ "pre_x".removeprefix("pre_") }} {{ "x_suf".removesuffix("_suf") }} {{ "7".zfill(3) }} {{ "-7".zfill(4) }} {{ "a".ljust(3) }}| {{ "a".rjust(3, ".") }} {{ "ab".center(5, "*") }} {{ "k=v=w".partition("=") }} {{ "k=v=w".rpartition("=") }}
{{ "%s has %d at %.2f%%" % ("x", 3, 1.5) }} {{ "%05d|%-4s|%4s" | format(42, "ab", "cd") }} {{ "{} {}".format(1, "b") }} {{ "{1}{0}{x}".format("a", "b", x="c") }}
{{ lines | indent }} {{ lines | indent(2, true) }} {{ lines | indent(1, blank=true) }} {{ html | escape }} {{ html | e }} {{ html | safe }} {{ "a b/ü" | urlencode }} {{ s | wordcount }}
{{ words | batch(2) | list }} {{ words | batch(2, "-") | list }} {{ people | groupby("age") | map("first") | list }} {{ [1, 2, 1, "a", "A"] | unique | list }} {{ "abc" | list }} {{ 5 | string | length }}
{{ n is defined }} {{ missing is defined }} {{ missing is undefined }} {{ nil is none }} {{ n is not none }} {{ s is string }} {{ d is mapping }} {{ l is sequence }} {{ s is sequence }} {{ n is iterable }} {{ d is iterable }} {{ t is boolean }} {{ n is number }} {{ f is float }} {{ n is integer }} {{ t is integer }} {{ range is callable }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby(7) }} {{ n is eq 7 }} {{ n is gt 3 }} {{ n is sameas 7 }} {{ t is true }} {{ 1 is true }} {{ no is false }} {{ "a" is in "abc" }} {{ s is upper }} {{ "x" is lower }} {{ n is defined and n is odd }} {{ not n is even }}
{{ range(3) | list }} {{ range(1, 6, 2) | list }} {{ range(3, 0, -1) | list }} {{ dict(a=1, b=2) }} {{ dict(d, c=3).c }}
{% for x in l %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ "," if not loop.last }}{% endfor %}
{% for x in l %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.cycle("a", "b") }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{% else %}none{% endfor %} {% for x in none_list %}x{% else %}none{% endfor %} {% for x in missing %}x{% else %}und{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for c in "héy" %}{{ c }}.{% endfor %} {% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}
{% for a in nested %}{% for b in a %}{{ loop.index }}{{ b }}{% endfor %};{% endfor %} {% for x in l %}{{ loop.changed(x > 1) }}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(total=0, name="q") %}{% for i in l %}{% set ns.total = ns.total + i %}{% endfor %}{{ ns.total }}{{ ns.name }}{{ ns.nope is defined }}
{% set a, b = 1, "two" %}{{ a }}{{ b }} {% set c %}block {{ a }}{% endset %}{{ c }}{{ c | length }} {% set e | upper %}shout{% endset %}{{ e }}
{% if n > 10 %}big{% elif n > 5 %}mid{% else %}low{% endif %} {% if missing %}x{% else %}y{% endif %} {% if not missing is defined %}z{% endif %}
{% macro greet(name, mark="!") %}Hi {{ name }}{{ mark }}{% endmacro %}{{ greet("Ann") }}{{ greet("Bob", "?") }}{{ greet(mark=".", name="C") }}{{ greet() }}
{% macro rec(n) %}{{ n }}{% if n > 0 %}{{ rec(n - 1) }}{% endif %}{% endmacro %}{{ rec(3) }} {% set y = 5 %}{% macro seey() %}{{ y }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ seey(1, z=2) }}
{% macro wrap(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}{% call wrap("b") %}bold {{ n }}{% endcall %}{% macro each(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(v) each(l) %}[{{ v }}]{% endcall %}
{% filter upper %}quiet {{ s }}{% endfilter %}{% filter replace("a", "b") | trim %} banana {% endfilter %}
{# a comment #}x{#- left -#}  y  {#- both -#}  z {% raw %}{{ not }} {% this %}{% endraw %} end
a {%- if t -%}  b  {%- endif -%} c {{- n -}} d {{ n -}}   e   {{- n }}
{{ strftime_now("%Y-%m-%d %H:%M:%S %d %b %B %a %A %j %y %I %p") }} {% generation %}gen {{ n }}{% endgeneration %}
{{ "a" "b" 'c' }} {{ 'it''s' }} {{ "\x41\u00e9\n\\n" }} {{ 1_000 }} {{ 1.5e3 }} {{ none is none }} {{ None }} {{ True and False }}
{{ joiner is defined }}{% set j = joiner("|") %}{{ j() }}a{{ j() }}b{{ j() }}c {{ [1, 2, 3][-1] }} {{ {"a": [1, {"b": 2}]}["a"][1].b }} {{ (1, 2)[1] }}
{{ people | map(attribute="name") | map("lower") | sort | join }} {{ (n + 1) * 2 }} {{ n + 1 * 2 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ "a" ~ 1 + 2 }} {{ not n == 7 }}
{{ s | length > 5 }} {{ (s | length) + 1 }} {{ l | first + 1 }} {{ "x" if s | length > 3 and l | length == 3 else "y" }} {{ d.a.upper() }} {{ s.split(",")[0].strip() | lower }}
{{ l.index(2) }} {{ l.count(3) }} {{ d.copy() == d }} {{ "a" | attr("upper") is callable }} {{ "abc"[1] in ["b"] }} {{ l[0] if l else none }} {{ l is sameas l }}
{{ [true, 1, 1.0] | unique | list }} {{ [[2, "b"], [1, "a"]] | sort }} {{ ["b", "A"] | max }} {{ none_list | max }}| {{ "Hello World" | truncate(8) }} {{ "Hello World" | truncate(8, true) }}
""".strip("\n").split("\n")

# White space, where lines matter.
BLOCKS = [
    "a\n  {% if t %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%+ if t %}\n  b\n  {%+ endif +%}\nc\n\n",
    "{% if t %}\n\nx\n{% endif %}\n\n",
    "  {{ n }}  \n  {# c #}\n  {% set q = 1 %}  z\n",
    "{%- for i in l %}\n  {{ i }}\n{%- endfor %}\n",
    "{% for i in l -%}\n  {{ i }}\n{%- endfor -%}\n  tail",
    "x {% if t %} y {% endif %} z\r\nw\r{% if t %}\r\nv{% endif %}",
    "\n\n{% if t %}a{% endif %}\n\n",
    "   {% raw %}\n  {% x %}\n  {% endraw %}\n  b",
    "   {%- raw -%}\n  {% x %}\n  {%- endraw -%}\n  b",
    "{% if t %} {% if t %} {{ n }} {% endif %} {% endif %}|",
    "a {#- c #} b\n {# d -#}  \n e",
    "{{ s }}\n{% if no %}\n{% endif %}\n{{ s }}",
    "\t{% if t %}\t\n\tx\t{% endif %}\t\n",
    "{% set x -%}\n  v\n{%- endset %}\n[{{ x }}]",
]

# Whole templates in the shape of the model families, written for this test.
CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}{% else %}{% set rest = messages %}{% set system = false %}{% endif %}{% for message in rest %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if loop.index0 == 0 and system %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- 'Answer with {"name": function name, "parameters": dictionary}.\\n\\n' }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one tool call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("ids have nine characters") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("unknown role " ~ message.role) }}
    {%- endif %}
{%- endfor %}
"""
QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\n<tool_call>\\n{\\"name\\": <name>, \\"arguments\\": <args>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""
PHI3 = """{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""

TOOL = {"type": "function", "function": {
    "name": "weather", "description": "The weather \"now\" in a città",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"},
                   "unit": {"enum": ["C", "F"]}}, "required": ["city"]}}}
USER = {"role": "user", "content": " Where is the dam? "}
SYSTEM = {"role": "system", "content": "Be brief.\n"}
REPLY = {"role": "assistant", "content": "In the river.  "}
CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "abcdefg12", "type": "function",
     "function": {"name": "weather", "arguments": {"city": "Łódź", "days": 2}}}]}
RESULT = {"role": "tool", "content": '{"t": 21.5}', "tool_call_id": "abcdefg12"}
THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}
CONVERSATIONS = [
    {"messages": [USER]},
    {"messages": [SYSTEM, USER]},
    {"messages": [SYSTEM, USER, REPLY, USER]},
    {"messages": [USER, REPLY], "no_prompt": True},
    {"messages": [USER, CALL, RESULT], "tools": [TOOL, TOOL]},
    {"messages": [USER, CALL, RESULT, THOUGHT, USER, THOUGHT], "tools": [TOOL]},
    {"messages": [USER], "enable_thinking": False},
    {"messages": [REPLY]},
]


def main():
    env = environment()
    cases = []

    def add(name, template, variables):
        case = {"name": name, "template": template, "variables": variables}
        try:
            case["expected"] = env.from_string(template).render(**json.loads(json.dumps(variables)))
        except jinja2.exceptions.TemplateError as error:
            case["refused"] = str(error)
        except TypeError as error:
            case["refused"] = str(error)
        cases.append(case)

    for i, template in enumerate(LANGUAGE):
        add(f"language {i + 1}", template, DATA)
        cases[-1]["variables"] = "data"
    for i, template in enumerate(BLOCKS):
        add(f"blocks {i + 1}", template, DATA)
        cases[-1]["variables"] = "data"
    families = {"chatml": CHATML, "llama-2": LLAMA2, "llama-3": LLAMA3, "mistral": MISTRAL,
                "qwen": QWEN, "gemma": GEMMA, "phi-3": PHI3}
    for name, template in families.items():
        for i, conversation in enumerate(CONVERSATIONS):
            variables = {"bos_token": "<s>", "eos_token": "</s>", **conversation}
            variables["add_generation_prompt"] = not variables.pop("no_prompt", False)
            add(f"{name} {i + 1}", template, variables)
    with open("cases.json", "w", encoding="utf-8") as file:
        json.dump({"now_s": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()), "data": DATA,
                   "cases": cases}, file, ensure_ascii=False, indent=1)
        file.write("\n")
    refused = [c for c in cases if "refused" in c]
    print(len(cases), "cases,", len(refused), "refused:")
    for case in refused:
        print("  ", case["name"], "-", case["refused"])


if __name__ == "__main__":
    main()
