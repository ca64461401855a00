"""The product's URLs as the demo mounts them."""

from django.urls import path

from einbox.simulation import views
from einbox.urls import urlpatterns as product

urlpatterns = [path("demo/primary", views.primary, name="demo-primary"), *product]
