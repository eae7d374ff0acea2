#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now relaymesh.service || true
  systemctl disable --now relaymesh@ingest relaymesh@dhtworker relaymesh@syncworker relaymesh@fetcher || true
fi
