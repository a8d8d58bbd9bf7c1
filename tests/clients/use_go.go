// Uses the client that openapi-generator has made for Go: PROGRAM URL TOKEN RECEIVER SESSION.
package main

import (
	"context"
	"log"
	"os"
	"time"

	waybill "github.com/GIT_USER_ID/GIT_REPO_ID"
)

const large = int64(1) << 33

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	url, token, receiver, session := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	conf := waybill.NewConfiguration()
	conf.Servers = waybill.ServerConfigurations{{URL: url}}
	api := waybill.NewAPIClient(conf)
	ctx := context.WithValue(context.Background(), waybill.ContextAccessToken, token)

	made, _, err := api.WebhooksAPI.RegisterWebhook(ctx, session).
		WebhookNew(*waybill.NewWebhookNew(receiver)).Execute()
	must(err)
	given := waybill.NewEventGiven("message")
	given.SetTimestamp(large)
	given.SetData(map[string]int64{"n": large})
	accepted, _, err := api.EventsAPI.Publish(ctx, session).EventGiven(*given).
		IdempotencyKey("once").Execute()
	must(err)
	if accepted.Deliveries != 1 || accepted.Timestamp != large {
		log.Fatal(accepted)
	}
	one := *waybill.NewEnvelope(session, "message")
	batch, _, err := api.EventsAPI.PublishAny(ctx).Envelope([]waybill.Envelope{one, one}).Execute()
	must(err)
	if batch.Accepted != 2 {
		log.Fatal(batch)
	}
	hooks, _, err := api.WebhooksAPI.ListWebhooks(ctx, session).Execute()
	must(err)
	if len(hooks.Webhooks) != 1 || hooks.Webhooks[0].Id != made.Id {
		log.Fatal(hooks)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		shown, _, err := api.DeliveriesAPI.ListDeliveries(ctx, session).Execute()
		must(err)
		delivered := 0
		for _, d := range shown.Deliveries {
			if d.Status == waybill.DELIVERED && d.Attempts[0].GetStatus() == 200 {
				delivered++
			}
		}
		if delivered == 3 {
			break
		}
		if time.Now().After(until) {
			log.Fatal(shown)
		}
	}
	stats, _, err := api.GatewayAPI.ShowStats(ctx).Execute()
	must(err)
	if stats.Events.Published < 3 || stats.Store.MaxBytes <= 1<<31 {
		log.Fatal(stats)
	}
	_, answer, err := api.WebhooksAPI.
		ShowWebhook(ctx, session, "b807d7e0-f783-4252-9d6d-76f50e2e8348").Execute()
	if err == nil || answer.StatusCode != 404 {
		log.Fatal(err)
	}
}
