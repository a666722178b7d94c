"""Names that wikitext uses for the same things in many languages, beyond those a dump's own site information gives."""

from __future__ import annotations

import re

FILE_NAMES = frozenset(
    name.casefold()
    for name in (
        "File Image Media Datei Bild Fichier Archivo Imagen Imatge Fitxer Immagine Ficheiro Imagem Arquivo Bestand Afbeelding "
        "Plik Grafika Soubor Obrázek Súbor Obrázok Kép Fájl Fil Billede Bilde Tiedosto Kuva Mynd Skrá Vaizdas Attēls Pilt Fail "
        "Slika Datoteka Слика Датотека Файл Изображение Картинка Выява Зображення Картина Сүрөт Сурет Αρχείο Εικόνα קובץ תמונה "
        "ملف صورة پرونده تصویر चित्र চিত্র படிமம் బొమ్మ ไฟล์ ภาพ ファイル 画像 파일 그림 文件 檔案 档案 图像 圖像 "
        "Dosya Resim Fayl Şəkil Berkas Gambar Fişier Fișier Imagine Fitxategi Irudi Skeda Figura Dosiero Íomhá Delwedd Wêne "
        "Պատկեր სურათი ფაილი Restr Skeudenn Billed Lêer Beeld Picha Talaksan Larawan"
    ).split()
) | {"tập tin", "hình", "ảnh", "imaxe", "imachen", "dəyişən fayl"}
"""Prefixes of links to pictures and recordings, with old names that pages still use."""

CATEGORY_NAMES = frozenset(
    name.casefold()
    for name in (
        "Category Kategorie Catégorie Categoría Categoria Categorie Kategoria Kategori Kategória Kategorija Kategoriya Luokka "
        "Flokkur Kategooria Категория Катэгорыя Категорія Категорија Κατηγορία קטגוריה تصنيف رده श्रेणी "
        "カテゴリ 분류 分类 分類 Kategorio Kategoria Catigorie Rummad Aicme Kawan Санат Կատեգորիա კატეგორია หมวดหมู่ வகை বিষয়শ্রেণী"
    ).split()
) | {"thể loại"}

_DISAMBIGUATIONS = (
    "disambig disambiguation dab hndis geodis disamb disambig-small numberdis schooldis surname-dab begriffsklärung homonymie "
    "desambiguación desambiguação desambiguacion desambig disambigua dp doorverwijspagina ujednoznacznienie неоднозначность "
    "многозначность disambiguasi förgrening gaffel flertydig pekerside täsmennyssivu täsmennys rozcestník egyért anlam-ayrımı "
    "anlamayrımı anlam_ayrımı פירושונים dezambiguizare вишезначна-одредница višeznačnost razločitev razdvojba desambiguació "
    "argipen αποσαφήνιση توضيح ابهام‌زدایی აზრმრავლობა бавишәне багатозначність пояснение мъгла неадназначнасць "
    "曖昧さ回避 aimai 消歧义 消歧義 disambig-cjk 동음이의 동음이의어 định_hướng trang_định_hướng apartigilo discretiva maorasm "
    "nuorodinis täpsustuslehekülg aðgreining dubbelsinnig begriepskloorensid"
).split()
_DISAMBIGUATION = re.compile(
    r"\{\{\s*(?:"
    + "|".join(re.escape(name).replace("_", "[ _]").replace(r"\-", "[- ]") for name in sorted(_DISAMBIGUATIONS))
    + r"|disambig[^|{}\n]{0,20})\s*[|}]|__DISAMBIG__|__BEGRIFFSKLÄRUNG__",
    re.IGNORECASE,
)
_REDIRECT = re.compile(r"\s*#\s*[^\W\d_][^\s\[#*:]{1,30}\s*:?\s*\[\[")


def is_disambiguation(source: str) -> bool:
    """Whether a page carries one of the templates that mark lists of meanings."""
    return _DISAMBIGUATION.search(source) is not None


def is_redirect(source: str) -> bool:
    """Whether a page only sends the reader to another (``#REDIRECT [[...]]`` in any language)."""
    return _REDIRECT.match(source) is not None
