// The charts of the pipeline page, and the word on whether it is live. All
// figures come from the server; without this script the page shows the same
// ones, of the moment when it was loaded.
(() => {
	const kept = 300 // readings, as on the server
	const charts = new Map()
	const asof = document.getElementById('asof')

	const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
	const font = '11px system-ui, sans-serif'
	const plain = v => v >= 10000 ? Math.round(v / 1000) + 'k' : String(Math.round(v * 100) / 100)

	const whole = [1, 2, 5].flatMap(n => [0, 1, 2, 3, 4, 5, 6].map(e => n * 10 ** e)).sort((a, b) => a - b)

	function draw(box, data) {
		const axis = (scale, side, more) => ({
			scale, side, size: 34, gap: 3, font, stroke: color('--muted'), ticks: { show: false },
			grid: { show: side === 3, stroke: color('--line'), width: 1 }, values: (_, list) => list.map(plain), space: 32, ...more,
		})
		const range = (_, low, high) => [0, Math.max(1, high || 0) * 1.1]
		const chart = new uPlot({
			width: box.clientWidth, height: box.clientHeight, legend: { show: false }, cursor: { show: false }, padding: [6, 0, 0, 0],
			scales: { x: { time: true }, rate: { range }, lag: { range } },
			axes: [
				{ size: 18, gap: 3, font, stroke: color('--muted'), grid: { show: false }, ticks: { show: false }, space: 60,
					values: (_, list) => list.map(t => new Date(t * 1000).toTimeString().slice(0, 8)) },
				axis('rate', 3), axis('lag', 1, { incrs: whole }),
			],
			series: [{},
				{ scale: 'rate', stroke: color('--rate'), width: 1.5, points: { show: false } },
				{ scale: 'lag', stroke: color('--lag'), fill: color('--lag-fill'), width: 1, points: { show: false } }],
		}, data, box)
		charts.set(box, { chart, data })
	}

	function start() {
		for (const box of document.querySelectorAll('.chart')) draw(box, JSON.parse(box.dataset.points))
	}

	function redraw() {
		for (const [box, { chart, data }] of charts) {
			chart.destroy()
			draw(box, data)
		}
	}

	// add takes the newest figures from the cards that the server has sent.
	function add() {
		for (const [box, { chart, data }] of charts) {
			const { at, rate, lag } = document.getElementById(box.dataset.stage).dataset
			if (data[0].length > 0 && +at <= data[0].at(-1)) continue
			data[0].push(+at)
			data[1].push(rate === '' ? null : +rate)
			data[2].push(+lag)
			if (data[0].length > kept) for (const series of data) series.shift()
			chart.setData(data)
		}
	}

	const say = live => {
		asof.textContent = live ? 'live' : 'connecting again…'
		asof.classList.toggle('live', live)
	}

	document.addEventListener('htmx:sse:after:message', () => { add(); say(true) })
	document.addEventListener('htmx:sse:error', () => say(false))
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw)
	let width = innerWidth
	addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; redraw() } })
	start()
})()
