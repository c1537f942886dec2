import ast
from collections import Counter
from pathlib import Path

import dashboard


def test_no_two_widgets_write_under_one_key_into_the_address():
    """Back would lose the choice of the page that it leads to: Streamlit takes it for that of the page that is left."""
    keys = Counter[str]()
    for file in Path(dashboard.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = {word.arg: word.value for word in getattr(call, "keywords", ()) if isinstance(call, ast.Call)}
            key = named.get("key")
            if "bind" in named and isinstance(key, ast.Constant):
                keys[str(key.value)] += 1
    assert {"checkpoint", "layer", "usage_layer"} <= set(keys)
    assert [key for key, count in keys.items() if count > 1] == []
