"""How HTML in notebooks looks, and the words for what is kept. Apart from the pages: a run that shows its progress needs no more."""

KEPT = ("stored", "kept", "trained", "nothing to ask")
DARK = "--df-dim:#8b98a9;--df-ask:#5aa9ff;--df-line:#2a3340;--df-bad:#ff8a80;--df-waits:#ffca57;--df-model:#16263d"
STYLE = f"""<style>
.dreamframe{{--df-dim:#5f6b7a;--df-ask:#0b6bcb;--df-line:#e3e7ec;--df-bad:#b3261e;--df-waits:#8a5a00;--df-model:#eef4ff;font:14px/20px system-ui,sans-serif}}
@media (prefers-color-scheme:dark){{.dreamframe{{{DARK}}}}}
[data-jp-theme-light=false] .dreamframe,.vscode-dark .dreamframe{{{DARK}}}
.dreamframe .plan,.dreamframe pre{{font:13px/20px ui-monospace,monospace;margin:0;white-space:pre-wrap;overflow-wrap:anywhere;background:none;color:inherit}}
.dreamframe .plan{{max-height:800px;overflow-y:auto}}
.dreamframe .step{{display:flex;gap:16px;padding:4px 0;border-bottom:1px solid var(--df-line)}}
.dreamframe .said{{flex:1;padding-left:2ch}}.dreamframe .said:not(details){{text-indent:-2ch;padding-left:4ch}}
.dreamframe .state{{flex:0 1 auto;max-width:50%;text-align:right;font-variant-numeric:tabular-nums;color:var(--df-ask)}}
.dreamframe .kept,.dreamframe small,.dreamframe dt{{color:var(--df-dim)}}
.dreamframe td,.dreamframe th{{text-align:left!important}}.dreamframe .plan{{margin-top:4px}}.dreamframe .wide>table{{margin-left:2ch}}
.dreamframe .below{{margin-top:4px}}.dreamframe summary{{cursor:pointer}}.dreamframe dl{{margin:4px 0 4px 2ch}}.dreamframe dd{{margin:0 0 4px}}
</style>"""
