"""One module a tab: `build` makes its components inside the tab, `wire` binds their events."""
