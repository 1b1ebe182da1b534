"""Inflection against forms written out by hand."""

import pytest

from core.data.lexicon import NOUNS, VERBS
from core.data.morphology import adjective_forms, article, gerund, plural, third_person, verb_class, verb_forms

# dictionary form, ichidan?: polite stem, te, past, negative, negative past, imperative, condition
VERB_TABLE = """
買う - 買い 買って 買った 買わない 買わなかった 買え 買ったら
書く - 書き 書いて 書いた 書かない 書かなかった 書け 書いたら
泳ぐ - 泳ぎ 泳いで 泳いだ 泳がない 泳がなかった 泳げ 泳いだら
話す - 話し 話して 話した 話さない 話さなかった 話せ 話したら
待つ - 待ち 待って 待った 待たない 待たなかった 待て 待ったら
死ぬ - 死に 死んで 死んだ 死なない 死ななかった 死ね 死んだら
呼ぶ - 呼び 呼んで 呼んだ 呼ばない 呼ばなかった 呼べ 呼んだら
飲む - 飲み 飲んで 飲んだ 飲まない 飲まなかった 飲め 飲んだら
切る - 切り 切って 切った 切らない 切らなかった 切れ 切ったら
帰る - 帰り 帰って 帰った 帰らない 帰らなかった 帰れ 帰ったら
行く - 行き 行って 行った 行かない 行かなかった 行け 行ったら
ある - あり あって あった ない なかった あれ あったら
見る 1 見 見て 見た 見ない 見なかった 見ろ 見たら
食べる 1 食べ 食べて 食べた 食べない 食べなかった 食べろ 食べたら
着る 1 着 着て 着た 着ない 着なかった 着ろ 着たら
する - し して した しない しなかった しろ したら
掃除する - 掃除し 掃除して 掃除した 掃除しない 掃除しなかった 掃除しろ 掃除したら
来る - 来 来て 来た 来ない 来なかった 来い 来たら
"""
KEYS = ("stem", "te", "past", "negative", "negative past", "imperative", "condition")


@pytest.mark.parametrize("row", [line.split() for line in VERB_TABLE.strip().splitlines()], ids=lambda row: row[0])
def test_verbs(row):
    verb, ichidan, *expected = row
    forms = verb_forms(verb, verb_class(verb, ichidan == "1"))
    assert ["".join(forms[key]) for key in KEYS] == expected
    assert forms["dictionary"] == (verb,)


def test_must_and_without():
    forms = verb_forms("書く", "godan")
    assert forms["negative condition"] == ("書か", "なければ") and forms["negative te"] == ("書か", "ないで")


@pytest.mark.parametrize(
    ("adjective", "expected"),
    [
        ("大きい", ["大きい", "大きかった", "大きくない", "大きくなかった"]),
        ("いい", ["いい", "よかった", "よくない", "よくなかった"]),
        ("背が高い", ["背が高い", "背が高かった", "背が高くない", "背が高くなかった"]),
        ("たい", ["たい", "たかった", "たくない", "たくなかった"]),
    ],
)
def test_adjectives(adjective, expected):
    found = ["".join(adjective_forms(adjective, past, neg)) for neg in (False, True) for past in (False, True)]
    assert found == expected


ENGLISH = """
drink drinks drinking drank drunk | cut cuts cutting cut cut | swim swims swimming swam swum
run runs running ran run | carry carries carrying carried carried | study studies studying studied studied
watch watches watching watched watched | go goes going went gone | see sees seeing saw seen
write writes writing wrote written | dance dances dancing danced danced | die dies dying died died
teach teaches teaching taught taught | wear wears wearing wore worn | play plays playing played played
repair repairs repairing repaired repaired | visit visits visiting visited visited | sleep sleeps sleeping slept slept
open opens opening opened opened | listen listens listening listened listened | wash washes washing washed washed
"""


@pytest.mark.parametrize("row", [entry.split() for entry in ENGLISH.replace("\n", "|").split("|") if entry.strip()])
def test_english_verbs(row):
    verb = next(verb for (en, _), verb in VERBS.items() if en == row[0])
    assert [verb.en_forms[key] for key in ("base", "s", "ing", "past", "participle")] == row


def test_english_phrasal_verb():
    verb = VERBS["get", "起きる"]
    assert (verb.en_forms["s"], verb.en_forms["ing"], verb.en_forms["past"]) == ("gets up", "getting up", "got up")


def test_english_nouns_and_articles():
    assert [plural(noun) for noun in ("box", "dictionary", "toy", "bus", "watch")] == [
        "boxes",
        "dictionaries",
        "toys",
        "buses",
        "watches",
    ]
    assert NOUNS["knife"].en_plural == "knives" and NOUNS["fish"].en_plural == "fish"
    assert not NOUNS["coffee"].en_plural
    assert [article(word) for word in ("apple", "old", "engineer", "useful", "book")] == ["an", "an", "an", "a", "a"]
    assert third_person("have") == "has" and gerund("get") == "getting"
