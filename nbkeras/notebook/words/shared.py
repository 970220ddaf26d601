"""Sentences that several displays show."""

from __future__ import annotations

MORE_CURVES = ("{count} more curves are in run.history", "另有 {count} 条曲线在 run.history 中")
AT_EPOCH = ("{value} (epoch {epoch})", "{value}（第 {epoch} 轮）")
COPY = {
    "copy": ("Copy", "复制"),
    "copied": ("Copied", "已复制"),
    "copy_by_hand": ("Selected: copy it with Ctrl+C or ⌘C.", "已选中：请用 Ctrl+C 或 ⌘C 复制。"),
}
