// The word on whether the page is live. All figures come from the server; without
// this script the page shows the same ones, of the moment when it was loaded.
(() => {
	const asof = document.getElementById('asof')
	const say = live => {
		asof.textContent = live ? 'live' : 'connecting again…'
		asof.classList.toggle('live', live)
	}
	document.addEventListener('htmx:sse:after:message', () => say(true))
	document.addEventListener('htmx:sse:error', () => say(false))
})()
