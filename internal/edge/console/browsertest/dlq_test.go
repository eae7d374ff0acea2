package browsertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

type deadLetter struct {
	Seq     uint64             `json:"seq"`
	Subject string             `json:"subject"`
	Reason  string             `json:"reason"`
	History []contract.Failure `json:"history"`
}

func deadLetters(t *testing.T) []deadLetter {
	return ask[struct {
		DeadLetters []deadLetter `json:"dead_letters"`
	}](t, theWorld, "/dlq").DeadLetters
}

// addDeadLetter makes a dead letter of a message that nobody can process, and returns
// its number.
func addDeadLetter(t *testing.T, mark string) uint64 {
	t.Helper()
	if err := theWorld.send(t.Context(), events.SubjectEventReceived, []byte(`{"content": "`+mark+`"}`)); err != nil {
		t.Fatal(err)
	}
	return findDeadLetter(t, mark)
}

// findDeadLetter waits for the dead letter of a message.
func findDeadLetter(t *testing.T, mark string) (seq uint64) {
	t.Helper()
	if err := until(t.Context(), func() error {
		for _, l := range deadLetters(t) {
			full := ask[struct {
				Data []byte `json:"data"`
			}](t, theWorld, fmt.Sprint("/dlq/", l.Seq))
			if strings.Contains(string(full.Data), mark) {
				seq = l.Seq
				return nil
			}
		}
		return errors.New("it is no dead letter yet")
	}); err != nil {
		t.Fatal(err)
	}
	return seq
}

func (p *page) logIn() {
	p.Helper()
	p.visit("/login")
	p.do(chromedp.SendKeys(chromedp.CSS("#token"), strings.ReplaceAll(token, " ", "-")))
	p.click("main button")
	p.do(chromedp.WaitVisible(chromedp.CSS(`form[action="/logout"]`)))
}

// One that is retried goes through its stage again, and its new dead letter tells
// how it ended before; with and without JavaScript.
func TestADeadLetterIsRetriedAndDroppedAfterAQuestion(t *testing.T) {
	for _, h := range []how{{}, {noScript: true}} {
		mark := fmt.Sprintf("retry me %t", h.noScript)
		seq := addDeadLetter(t, mark)
		p := open(t, fmt.Sprint("/dlq/", seq), h)
		if strings.Contains(p.visible(), "Retry…") {
			t.Error("without the token the page offers to retry")
		}
		p.logIn()
		p.visit("/dlq")
		p.click(fmt.Sprintf(`a[href="/dlq/%d/retry"]`, seq))
		p.do(chromedp.WaitVisible(chromedp.CSS(`form[method="post"] button.primary`)))
		if !strings.Contains(p.visible(), fmt.Sprintf("Retry dead letter %d?", seq)) {
			t.Errorf("it does not ask: %s", p.visible())
		}
		p.click("main button.primary")
		p.do(chromedp.WaitVisible(chromedp.CSS(".notice.good")))
		if !strings.Contains(p.visible(), fmt.Sprintf("Dead letter %d was retried", seq)) {
			t.Errorf("it does not say what was done: %s", p.visible())
		}
		again := findDeadLetter(t, mark)
		if again == seq {
			t.Fatal("the dead letter is still there")
		}
		p.visit(fmt.Sprint("/dlq/", again))
		if !strings.Contains(p.visible(), "How it ended") || strings.Count(p.visible(), "attempt") < 2 {
			t.Errorf("its history is lost: %s", p.visible())
		}
		p.click(`a.danger`)
		p.do(chromedp.WaitVisible(chromedp.CSS("button.danger")))
		p.click("main button.danger")
		p.do(chromedp.WaitVisible(chromedp.CSS(".notice.good")))
		for _, l := range deadLetters(t) {
			if l.Seq == again {
				t.Error("it was not dropped")
			}
		}
	}
}

// visible is the text of the page, for pages without JavaScript, too.
func (p *page) visible() string {
	p.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Text(chromedp.CSS("main")))
	if err != nil {
		p.Fatal(err)
	}
	return text
}
