"""The words of `builtin:enja`, the built-in grammar: what each is in both languages, and what goes with what.

The tables are written to be read and extended: a line a word. Nouns belong to semantic classes; a verb lists the
classes (or single nouns) that it takes and the places where one does it, so that sentences stay sensible.
"""

from dataclasses import dataclass

from core.data.morphology import gerund, plural, regular_past, third_person, verb_class, verb_forms


@dataclass(frozen=True, slots=True)
class Noun:
    en: str
    en_plural: str  # "" for what is not counted
    ja: str
    counter: str  # the Japanese counter, "" if it is not counted here
    classes: frozenset[str]
    adjectives: tuple["Adjective", ...]
    the: bool = False  # always with "the": play the piano


@dataclass(frozen=True, slots=True)
class Adjective:
    en: str
    ja: str  # i-adjectives end in い, na-adjectives are written without な
    i: bool
    comparative: str  # "bigger"; "" for "more ..."


@dataclass(frozen=True, slots=True)
class Verb:
    en: str
    en_particle: str  # "to" of "listen to"
    en_forms: dict[str, str]  # base, s, past, participle, ing
    ja_forms: dict[str, tuple[str, ...]]
    particle: str  # を, に or と marks the object, "" if there is none
    objects: tuple[Noun, ...]
    people: bool  # takes people as object
    places: tuple[str, ...]  # keys of PLACES
    flags: str  # h: a habit · p: lasts (is ...ing) · n: how many · c: at a clock time · a: animals do it too


# adjective classes: English, Japanese, comparative
_ADJECTIVES = """
new 新しい newer | old 古い older | big 大きい bigger | small 小さい smaller | expensive 高い - | cheap 安い cheaper
red 赤い = | white 白い = | black 黒い = | blue 青い = | heavy 重い heavier | light 軽い lighter | long 長い longer
short 短い shorter | interesting 面白い - | difficult 難しい - | hot 熱い hotter | cold 冷たい colder
delicious おいしい - | cute かわいい cuter | beautiful きれい - | quiet 静か quieter | famous 有名 -
useful 便利 - | fast 速い faster | young 若い younger | strong 強い stronger | kind 親切 kinder | busy 忙しい busier
tall 背が高い taller | serious 真面目 - | happy 幸せ happier | good いい = | bad 悪い = | important 大切 -
fresh 新鮮 fresher | far 遠い =
"""
ADJECTIVES: dict[str, Adjective] = {}
for _entry in _ADJECTIVES.replace("\n", "|").split("|"):
    if _entry.strip():
        _en, _ja, _more = _entry.split()
        ADJECTIVES[_en] = Adjective(_en, _ja, _ja.endswith("い") and _ja not in ("きれい",), _more.strip("-"))

ADJECTIVES_OF = {
    "drink": "hot cold delicious",
    "food": "delicious cheap expensive fresh",
    "reading": "interesting difficult long short new old good",
    "tool": "new old small expensive cheap good useful",
    "clothes": "new old red white black blue expensive cheap beautiful",
    "vehicle": "new old red white black big small expensive fast",
    "furniture": "new old big small heavy light",
    "animal": "big small white black cute",
    "flower": "red white blue beautiful small",
    "film": "interesting good famous old long new",
    "song": "beautiful good famous old new",
    "room": "big small quiet beautiful",
    "picture": "beautiful famous old big small",
    "nature": "big beautiful famous",
    "ball": "red white small new",
}

# English, plural (- rule, = none), Japanese, counter (- none), classes, adjectives (a key of ADJECTIVES_OF or -)
_NOUNS = """
coffee = コーヒー 杯 drink drink | tea = お茶 杯 drink drink | water = 水 杯 drink,animal_drink drink
milk = 牛乳 杯 drink,animal_drink drink | juice = ジュース 杯 drink drink | beer = ビール 杯 drink drink
wine = ワイン 杯 drink drink | bread = パン - food,cuttable food | rice = ご飯 - food food
meat = 肉 - food,cuttable,animal_food food | sushi = 寿司 - food food
apple - りんご 個 food,cuttable food | orange - みかん 個 food food | egg - 卵 個 food food
cake - ケーキ 個 food,cuttable,made food | sandwich - サンドイッチ 個 food,made food | banana - バナナ 本 food food
book - 本 冊 reading,borrowed,bought,written,shown reading | newspaper - 新聞 - reading -
letter - 手紙 通 reading,written,sent reading | magazine - 雑誌 冊 reading,borrowed,bought reading
novel - 小説 冊 reading,written,bought reading | dictionary - 辞書 冊 borrowed,bought,used tool
pen - ペン 本 used,bought,lost,borrowed tool | pencil - 鉛筆 本 used,bought tool
umbrella - 傘 本 bought,lost,borrowed tool | camera - カメラ 台 bought,used,lost,broken,borrowed tool
computer - コンピューター 台 bought,used,broken tool | bag - かばん つ bought,lost,carried,shown tool
key - 鍵 つ lost - | clock - 時計 つ bought,broken tool | knife knives ナイフ 本 used tool
ticket - 切符 枚 bought,lost,shown - | stamp - 切手 枚 bought,shown tool
map - 地図 枚 bought,drawn,used,shown tool | doll - 人形 つ bought,made tool
toy - おもちゃ つ bought,made,broken tool | present - プレゼント つ bought,sent -
picture - 絵 枚 drawn,bought,shown picture | photo - 写真 枚 photographed,sent,shown picture
ball - ボール つ thrown,lost ball | shirt - シャツ 枚 clothes,bought,washed clothes
coat - コート 着 clothes,bought,lost clothes | sweater - セーター 枚 clothes,bought,washed clothes
dress - ドレス 着 clothes,bought,made clothes | kimono - 着物 着 clothes,bought clothes
hat - 帽子 つ lost,bought clothes | car - 車 台 bought,washed,repaired vehicle
bicycle - 自転車 台 bought,washed,repaired,borrowed vehicle | bus - バス 台 ridden -
train - 電車 - ridden - | taxi - タクシー 台 ridden -
chair - 椅子 つ carried,made,broken,furniture furniture | desk - 机 つ carried,furniture furniture
table - テーブル つ carried,furniture furniture | box - 箱 つ carried,made,opened,furniture furniture
window - 窓 - opened,shut room | door - ドア - opened,shut - | room - 部屋 - cleaned room
kitchen - 台所 - cleaned room | house - 家 - cleaned room | plate - 皿 枚 washed ball
cat - 猫 匹 animal,pet,drawn animal | dog - 犬 匹 animal,pet,drawn animal
bird - 鳥 羽 animal,caught,drawn animal | horse - 馬 頭 animal,drawn animal
rabbit - うさぎ 匹 animal,pet,caught animal | fish fish 魚 匹 caught,food,animal_food -
flower - 花 本 bought,drawn,seen flower | tree - 木 本 drawn,felled nature | movie - 映画 本 watched film
television = テレビ - watched - | music = 音楽 - heard - | song - 歌 - heard song
English = 英語 - language,subject - | Japanese = 日本語 - language,subject -
French = フランス語 - language,subject - | Chinese = 中国語 - language,subject - | math = 数学 - subject -
history = 歴史 - subject - | tennis = テニス - sport - | soccer = サッカー - sport -
baseball = 野球 - sport - | chess = チェス - sport - | piano * ピアノ - instrument -
guitar * ギター - instrument - | radio * ラジオ - heard -
"""


def _read_nouns() -> dict[str, Noun]:
    nouns = {}
    for entry in _NOUNS.replace("\n", "|").split("|"):
        if not entry.strip():
            continue
        en, many, ja, counter, classes, adjectives = entry.split()
        nouns[en] = Noun(
            en,
            {"=": "", "*": "", "-": plural(en)}.get(many, many),
            ja,
            counter.strip("-"),
            frozenset(classes.split(",")),
            tuple(ADJECTIVES[a] for a in ADJECTIVES_OF.get(adjectives, "").split()),
            many == "*",
        )
    return nouns


NOUNS = _read_nouns()

# key: preposition of place, English, Japanese; "the" is written out where English has it
PLACES = {
    key: tuple(entry.split("/"))
    for key, entry in {
        "home": "at/home/家",
        "room": "in/the room/部屋",
        "kitchen": "in/the kitchen/台所",
        "garden": "in/the garden/庭",
        "park": "in/the park/公園",
        "library": "at/the library/図書館",
        "school": "at/school/学校",
        "station": "at/the station/駅",
        "hospital": "at/the hospital/病院",
        "restaurant": "at/the restaurant/レストラン",
        "office": "at/the office/事務所",
        "university": "at/the university/大学",
        "museum": "at/the museum/美術館",
        "store": "at/the store/店",
        "hotel": "at/the hotel/ホテル",
        "zoo": "at/the zoo/動物園",
        "airport": "at/the airport/空港",
        "bank": "at/the bank/銀行",
        "beach": "on/the beach/海岸",
        "river": "in/the river/川",
        "sea": "in/the sea/海",
        "tokyo": "in/Tokyo/東京",
        "kyoto": "in/Kyoto/京都",
        "osaka": "in/Osaka/大阪",
        "london": "in/London/ロンドン",
        "japan": "in/Japan/日本",
    }.items()
}
CITIES = ("tokyo", "kyoto", "osaka", "london")
GOALS = tuple(key for key in PLACES if key not in ("home", "room", "kitchen", "garden", "river"))

# base [past participle] | Japanese (* ichidan) | particle | objects: classes, nouns, "people" | places | flags
_VERBS = """
drink drank drunk | 飲む | を | drink | home kitchen restaurant garden office | hpn
eat ate eaten | 食べる* | を | food | home kitchen restaurant park school | hpn
read read read | 読む | を | reading | home room library garden park school | hpn
write wrote written | 書く | を | written | home room library school office | hpn
buy bought bought | 買う | を | bought food clothes | store tokyo kyoto osaka london | n
sell sold sold | 売る | を | clothes car bicycle camera picture house | tokyo osaka london | n
see saw seen | 見る* | を | animal seen | park zoo garden | n
watch | 見る* | を | watched | home room hotel | hp
listen to | 聞く | を | heard | home room park | hp
use | 使う | を | used | room office school library university | hp
make made made | 作る | を | made | home kitchen | hpn
open | 開ける* | を | opened | - | p
close | 閉める* | を | shut | - | p
wash | 洗う | を | washed | home garden | hpn
clean | 掃除する | を | cleaned | - | hp
study | 勉強する | を | subject | home room library school university | hpc
teach taught taught | 教える* | を | subject | school university tokyo london | hp
speak spoke spoken | 話す | を | language | school office | h
learn | 習う | を | language instrument | school university | p
play | 弾く | を | instrument | home room school hotel | hp
play | する | を | sport | park school university | hpc
forget forgot forgotten | 忘れる* | を | umbrella camera key ticket bag hat coat | station school office restaurant | -
lose lost lost | なくす | を | lost | station park airport beach | n
find found found | 見つける* | を | lost pet | park station garden | n
look for | 探す | を | lost pet map | park station room | p
borrow | 借りる* | を | borrowed | library school | n
carry | 運ぶ | を | carried | - | pn
break broke broken | 壊す | を | broken | - | n
repair | 修理する | を | repaired broken | garden | pn
cut cut cut | 切る | を | cuttable felled | kitchen garden | pn
draw drew drawn | 描く | を | drawn | park room school | hpn
take took taken | 撮る | を | photographed | park zoo kyoto museum | pn
wear wore worn | 着る* | を | clothes | school office | h
throw threw thrown | 投げる* | を | ball | park beach | p
catch caught caught | 捕まえる* | を | caught | - | n
choose chose chosen | 選ぶ | を | clothes book movie camera hat | store | -
take took taken | 乗る | に | ridden | station airport | hc
wait for | 待つ | を | people bus taxi train | station park airport hotel | pc
help | 手伝う | を | people | kitchen office garden | hp
meet met met | 会う | に | people | station park library restaurant | hc
call | 電話する | に | people | - | hc
visit | 訪れる* | を | - | museum zoo library university tokyo kyoto osaka london japan | -
sleep slept slept | 寝る* | - | - | home room hotel garden | hpa
swim swam swum | 泳ぐ | - | - | river sea | hpca
run ran run | 走る | - | - | park beach garden | hpca
walk | 歩く | - | - | park beach garden | hpca
sing sang sung | 歌う | - | - | park school room | hp
dance | 踊る | - | - | park school hotel | hp
work | 働く | - | - | office hospital restaurant store bank airport hotel | hp
rest | 休む | - | - | home room hotel | hp
cook | 料理する | - | - | home kitchen restaurant | hpc
cry | 泣く | - | - | room park | p
laugh | 笑う | - | - | room school | p
die | 死ぬ | - | - | - | a
get/up got/up gotten/up | 起きる* | - | - | - | hc
travel | 旅行する | - | - | japan kyoto london | p
go went gone | 行く | - | - | GOAL | hc
come came come | 来る | - | - | school office station library museum hotel tokyo kyoto osaka japan | hc
return | 帰る | - | - | home hotel office school tokyo kyoto osaka london japan | c
arrive | 着く | - | - | station airport hotel school office museum tokyo kyoto osaka london japan | c
live | 住む | - | - | tokyo kyoto osaka london japan | -
give gave given | あげる* | を | - | - | -
send sent sent | 送る | を | - | - | -
show showed shown | 見せる* | を | - | - | -
lend lent lent | 貸す | を | - | - | -
become became become | なる | に | - | - | -
say said said | 言う | と | - | - | -
know knew known | 知る | を | - | - | -
"""


def _read_verbs() -> dict[tuple[str, str], Verb]:
    verbs = {}
    for line in _VERBS.strip().splitlines():
        english, japanese, particle, objects, places, flags = (field.strip() for field in line.split("|"))
        words = [word.replace("/", " ") for word in english.split()]
        base, en_particle = words[0], words[1] if len(words) == 2 else ""
        head, _, rest = base.partition(" ")
        end = f" {rest}" if rest else ""
        past, participle = (words[1], words[2]) if len(words) == 3 else (regular_past(head) + end,) * 2
        en_forms = {
            "base": base,
            "s": third_person(head) + end,
            "past": past,
            "participle": participle,
            "ing": gerund(head) + end,
        }
        verb = japanese.rstrip("*")
        wanted = set(objects.replace("-", "").split())
        nouns = tuple(n for n in NOUNS.values() if n.classes & wanted or n.en in wanted)
        verbs[head, verb] = Verb(
            base,
            en_particle,
            en_forms,
            verb_forms(verb, verb_class(verb, japanese.endswith("*"))),
            particle.strip("-"),
            nouns,
            "people" in wanted,
            GOALS if places == "GOAL" else tuple(places.replace("-", "").split()),
            flags.strip("-"),
        )
    return verbs


VERBS = _read_verbs()

# subjects: English, Japanese, agreement (1: am · 3: is · p: are), pronoun that takes it up again, object form
PEOPLE = [
    entry.split("/")
    for entry in """I/私/1/I/me you/あなた/p/you/you he/彼/3/he/him she/彼女/3/she/her we/私たち/p/we/us
    they/彼ら/p/they/them Tom/トム/3/he/Tom Mary/メアリー/3/she/Mary Ken/ケン/3/he/Ken Emi/エミ/3/she/Emi
    John/ジョン/3/he/John Jane/ジェーン/3/she/Jane""".split()
]
NAMES = [entry for entry in PEOPLE if entry[0][0].isupper() and entry[0] != "I"]
TITLED = ["Mr. Tanaka/田中/he", "Ms. Sato/佐藤/she", "Mr. Suzuki/鈴木/he", "Ms. Yamada/山田/she"]
# with "the" (and in the plural): English, plural, Japanese, plural, pronoun ("" where either will do)
ROLES = [
    entry.split("/")
    for entry in """teacher/teachers/先生/先生たち/ student/students/学生/学生たち/ doctor/doctors/医者/医者たち/
    boy/boys/男の子/男の子たち/he girl/girls/女の子/女の子たち/she man/men/男の人/男の人たち/he
    woman/women/女の人/女の人たち/she child/children/子供/子供たち/""".split()
]
# of my own family, and of another's (Japanese has a respectful word)
KIN = [
    tuple(entry.split("/"))
    for entry in """mother/母/お母さん/she father/父/お父さん/he friend/友達/友達/
    older_brother/兄/お兄さん/he younger_brother/弟/弟さん/he older_sister/姉/お姉さん/she
    younger_sister/妹/妹さん/she""".split()
]
PROFESSIONS = dict(
    entry.split("/")
    for entry in """teacher/先生 doctor/医者 student/学生 nurse/看護師 singer/歌手 lawyer/弁護士 cook/料理人
    writer/作家 engineer/エンジニア""".split()
)
PERSON_ADJECTIVES = [ADJECTIVES[a] for a in "kind busy young tall famous strong serious happy".split()]
PROFESSION_ADJECTIVES = [ADJECTIVES[a] for a in "kind famous young good".split()]

NUMBERS = dict(zip("one two three four five six seven eight nine ten".split(), "一二三四五六七八九十", strict=True))
HOURS = NUMBERS | {"eleven": "十一", "twelve": "十二"}
DAYS = dict(zip("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(), "月火水木金土日", strict=True))
# when: past, future, habit; English words to Japanese (one morpheme each, the words are aligned to all of it)
TIMES = {
    "past": {"yesterday": "昨日", "last night": "昨夜", "last week": "先週", "this morning": "今朝", "today": "今日"},
    "future": {"tomorrow": "明日", "tonight": "今夜", "next week": "来週", "today": "今日"},
    "habit": {"every day": "毎日", "every morning": "毎朝", "every night": "毎晩", "every week": "毎週"},
}
FREQUENCY = {"always": "いつも", "often": "よく", "sometimes": "時々", "usually": "たいてい"}
MEANS = {"train": "電車", "bus": "バス", "car": "車", "taxi": "タクシー", "bicycle": "自転車"}
RELATIONS = {"on": "上", "under": "下", "behind": "後ろ", "near": "近く", "in front of": "前", "next to": "隣"}
