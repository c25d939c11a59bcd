"""Django REST framework with its ORM, as its documentation shows it; on Gunicorn."""

import os
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import django
import jwt
from django.conf import settings

dsn = urlsplit(os.environ["PEER_DSN"])
KEY = os.environ["JWT_SECRET_KEY"]
settings.configure(
    SECRET_KEY=KEY,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": dsn.path.lstrip("/"),
            "USER": dsn.username,
            "HOST": dsn.hostname,
            "PORT": dsn.port,
            "CONN_MAX_AGE": None,
        }
    },
    REST_FRAMEWORK={
        "UNAUTHENTICATED_USER": None,
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import IntegrityError, models, transaction  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import authentication, exceptions, permissions, serializers, views  # noqa: E402
from rest_framework.response import Response  # noqa: E402


class User(models.Model):
    username = models.TextField(null=True)
    banned_at = models.DateTimeField(null=True)
    is_authenticated = True

    class Meta:
        app_label, db_table, managed = "peer", "users", False


class Login(models.Model):
    id = models.UUIDField(primary_key=True)
    user = models.ForeignKey(User, models.CASCADE)
    salt = models.TextField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        app_label, db_table, managed = "peer", "sessions", False


class Subscription(models.Model):
    id = models.UUIDField(primary_key=True)
    user = models.ForeignKey(User, models.CASCADE)
    product = models.TextField()
    plan_code = models.TextField()
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        app_label, db_table, managed = "peer", "subscriptions", False


class Payment(models.Model):
    id = models.UUIDField(primary_key=True)
    user = models.ForeignKey(User, models.CASCADE)
    status = models.TextField()

    class Meta:
        app_label, db_table, managed = "peer", "payments", False


class PeerPayment(models.Model):
    user = models.ForeignKey(User, models.DO_NOTHING)
    tx_hash = models.TextField(unique=True)
    status = models.TextField(default="pending")

    class Meta:
        app_label, db_table, managed = "peer", "peer_payments", False


class PeerOutbox(models.Model):
    kind = models.TextField()
    payload = models.JSONField()

    class Meta:
        app_label, db_table, managed = "peer", "peer_outbox", False


class ByToken(authentication.BaseAuthentication):
    def authenticate(self, request: Any) -> Any:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        try:
            claims = jwt.decode(
                token, KEY, algorithms=["HS256"], audience="manga_backend", issuer="manga_backend"
            )
            login = Login.objects.select_related("user").get(id=uuid.UUID(claims["sid"]))
        except (jwt.PyJWTError, Login.DoesNotExist):
            raise exceptions.AuthenticationFailed("token_invalid") from None
        if login.ended_at or login.user.banned_at or login.salt != claims["salt"]:
            raise exceptions.AuthenticationFailed("session_replaced")
        return login.user, claims

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


class StatusSerializer(serializers.Serializer):  # type: ignore[misc]
    username = serializers.CharField()
    active = serializers.BooleanField()
    plan = serializers.CharField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    purchases_count = serializers.IntegerField()


class PaymentSerializer(serializers.Serializer):  # type: ignore[misc]
    tx_hash = serializers.RegexField(r"^[0-9a-f]{64}$")


class Guarded(views.APIView):  # type: ignore[misc]
    authentication_classes = (ByToken,)
    permission_classes = (permissions.IsAuthenticated,)

    def subscription(self, request: Any) -> Any:
        return Subscription.objects.filter(user=request.user, product="manga").first()


class Status(Guarded):
    def get(self, request: Any) -> Response:
        found = self.subscription(request)
        body = {
            "username": request.user.username,
            "active": bool(found and found.expires_at > datetime.now(UTC)),
            "plan": found and found.plan_code,
            "started_at": found and found.started_at,
            "expires_at": found and found.expires_at,
            "purchases_count": Payment.objects.filter(user=request.user, status="approved").count(),
        }
        return Response(StatusSerializer(body).data)


class Access(Guarded):
    def get(self, request: Any) -> Response:
        found = self.subscription(request)
        return Response(status=204 if found and found.expires_at > datetime.now(UTC) else 402)


class Submit(Guarded):
    def post(self, request: Any) -> Response:
        asked = PaymentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            with transaction.atomic():
                made = PeerPayment.objects.create(user=request.user, **asked.validated_data)
                PeerOutbox.objects.create(
                    kind="payment", payload={"payment": made.id, "user": request.user.username}
                )
        except IntegrityError:
            return Response({"code": "transaction_already_used"}, status=409)
        return Response({"payment_id": made.id, "status": made.status}, status=202)


urlpatterns = [
    path("api/user/status", Status.as_view()),
    path("api/user/access", Access.as_view()),
    path("payment/submit", Submit.as_view()),
]
app = get_wsgi_application()
