// An explorer is as tall as what it shows, and as dark as the page around it.
const night = matchMedia("(prefers-color-scheme: dark)")
const isDark = () => ({ dark: true, light: false })[document.body.dataset.theme] ?? night.matches

document.querySelectorAll("iframe.ft-live").forEach((frame) => {
  const start = () => {
    const inner = frame.contentDocument
    if (!inner?.querySelector("main")) return // not there yet, or opened as a file
    const fit = () => { frame.style.height = `${inner.documentElement.offsetHeight + 4}px` }
    const paint = () => {
      inner.documentElement.style.colorScheme = isDark() ? "dark" : "light"
      for (const sheet of inner.styleSheets) {
        for (const rule of sheet.cssRules) if (rule.media) rule.media.mediaText = isDark() ? "all" : "not all"
      }
    }
    new ResizeObserver(fit).observe(inner.body)
    new MutationObserver(paint).observe(document.body, { attributeFilter: ["data-theme"] })
    night.addEventListener("change", paint)
    fit()
    paint()
  }
  frame.addEventListener("load", start)
  if (frame.contentDocument?.readyState === "complete") start()
})
