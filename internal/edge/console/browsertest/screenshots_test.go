package browsertest

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// The pictures of the documentation are of the same world.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("RELAYMESH_SCREENSHOTS")
	if dir == "" {
		t.Skip("writes files into the documentation: make screenshots")
	}
	trickle(t)
	author := "/search?q=" + theWorld.alice.PublicKey()
	for _, shot := range []struct {
		name, path string
		how        how
		live       bool
	}{
		{"console-pipeline", "/", how{width: 1360, height: 640}, true},
		{"console-pipeline-dark", "/", how{width: 1360, height: 640, dark: true}, true},
		{"console-narrow", "/", how{width: 400, height: 860}, true},
		{"console-mesh", "/mesh", how{width: 1360, height: 760}, false},
		{"console-relays", "/relays", how{width: 1360, height: 520}, false},
		{"console-search", author, how{width: 1360, height: 700}, false},
		{"console-dlq", "/dlq", how{width: 1360, height: 420}, false},
	} {
		p := open(t, shot.path, shot.how)
		if shot.path == "/dlq" {
			p.logIn()
		}
		if shot.live {
			p.wait("document.getElementById('asof').textContent === 'live'")
			p.wait("(document.querySelector('#ingest path.rate')?.getAttribute('d').match(/L/g) ?? []).length > 1") // some figures
		}
		r, err := chromedp.Run(p.ctx,
			chromedp.Action[cdppage.CaptureScreenshotResult](func(ctx context.Context,
				target *chromedp.Target,
			) (cdppage.CaptureScreenshotResult, error) {
				return cdp.Call(ctx, target, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{Format: "png"})
			}))
		if err != nil {
			t.Fatal(err)
		}
		small, err := shrink(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		if len(small) > 80<<10 {
			t.Errorf("%s takes %d bytes", shot.name, len(small))
		}
		if err := os.WriteFile(filepath.Join(dir, shot.name+".png"), small, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shrink writes a picture with the 256 colours that it uses most.
func shrink(data []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	uses := map[color.Color]int{}
	for y := range full.Bounds().Dy() {
		for x := range full.Bounds().Dx() {
			uses[full.At(x, y)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(uses), func(a, b color.Color) int { return uses[b] - uses[a] })
	small := image.NewPaletted(full.Bounds(), colors[:min(256, len(colors))])
	draw.Draw(small, full.Bounds(), full, image.Point{}, draw.Src)
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small)
	return out.Bytes(), err
}
