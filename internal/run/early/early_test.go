package early

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

func TestASignalIsHeardOnce(t *testing.T) {
	listen()
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGTERM)
	defer signal.Stop(came)
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-came
	if !Heard() {
		t.Error("it was not heard")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-came
	if Heard() {
		t.Error("heard again, after others have taken over")
	}
}
