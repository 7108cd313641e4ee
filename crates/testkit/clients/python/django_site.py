"""Django in one file: migrate every built-in app and our own, CRUD with the ORM, log in to the admin and edit there."""

import decimal
import os
import sys
import tempfile
import types

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for this test",
    DEBUG=False,
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF="shop_urls",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ.get("PGDATABASE", "postgres"),
            "USER": os.environ.get("PGUSER", "postgres"),
            "PASSWORD": os.environ.get("PGPASSWORD", ""),
            "HOST": os.environ.get("PGHOST", "127.0.0.1"),
            "PORT": os.environ.get("PGPORT", "5432"),
        }
    },
    INSTALLED_APPS=[
        "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
        "django.contrib.messages", "django.contrib.postgres", "shop",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages"]},
    }],
)

# The `shop` app lives in a folder of its own, as `startapp` would make it, because `makemigrations` writes files.
place = tempfile.TemporaryDirectory()
sys.path.insert(0, place.name)
os.mkdir(f"{place.name}/shop")
open(f"{place.name}/shop/__init__.py", "w").close()
MODELS = '''
import uuid
from django.contrib.postgres.fields import ArrayField
from django.db import models

class Category(models.Model):
    name = models.CharField(max_length=60, unique=True)
    def __str__(self):
        return self.name

class Product(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="products")
    name = models.CharField(max_length=80, db_index=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    stock = models.PositiveIntegerField(default=0)
    tags = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    details = models.JSONField(default=dict, blank=True)
    added = models.DateTimeField(auto_now_add=True)
    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["category", "name"], name="one_name_per_category"),
            models.CheckConstraint(condition=models.Q(price__gte=0), name="price_not_negative"),
        ]
        indexes = [models.Index(fields=["-price"], name="by_price", condition=models.Q(stock__gt=0))]
'''
with open(f"{place.name}/shop/models.py", "w") as file:
    file.write(MODELS)
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, models, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402
from shop.models import Category, Product  # noqa: E402

admin.site.register([Category, Product])
urls = types.ModuleType("shop_urls")
urls.urlpatterns = [path("admin/", admin.site.urls)]
sys.modules["shop_urls"] = urls


def migrate():
    call_command("makemigrations", "shop", verbosity=0)
    call_command("migrate", verbosity=0)
    # A second migration, as after a day's work: a column with a default, another type, another name.
    with open(f"{place.name}/shop/migrations/0002_more.py", "w") as file:
        file.write('''
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.AddField("product", "weight", models.FloatField(default=1.5)),
        migrations.AlterField("product", "stock", models.BigIntegerField(default=0)),
        migrations.RenameField("product", "weight", "kilograms"),
        migrations.RemoveField("product", "kilograms"),
    ]
''')
    call_command("migrate", verbosity=0)
    call_command("migrate", "shop", "0001", verbosity=0)


def crud():
    tools = Category.objects.create(name="tools")
    toys, created = Category.objects.get_or_create(name="toys")
    assert created
    Product.objects.bulk_create(
        Product(category=tools if n % 2 else toys, name=f"thing {n}", price=decimal.Decimal(n) / 4, stock=n,
                tags=["even"] if n % 2 == 0 else [], details={"n": n, "deep": {"odd": bool(n % 2)}})
        for n in range(100))
    Category.objects.bulk_create([Category(name="tools"), Category(name="books")], ignore_conflicts=True)
    assert Category.objects.count() == 3
    assert Product.objects.filter(price__gt=20, category__name="tools").count() == 10
    assert Product.objects.filter(tags__contains=["even"]).count() == 50
    assert Product.objects.filter(details__deep__odd=True, details__n__lt=10).count() == 5
    assert Product.objects.filter(name__icontains="THING 9").count() == 11
    totals = Category.objects.annotate(n=models.Count("products"), worth=models.Sum(models.F("products__price") * models.F("products__stock")))
    assert [(c.name, c.n) for c in totals.order_by("name")] == [("books", 0), ("tools", 50), ("toys", 50)]
    Product.objects.filter(stock__lt=10).update(stock=models.F("stock") + 1000)
    assert Product.objects.filter(stock__gte=1000).count() == 10
    by_day = Product.objects.annotate(day=models.functions.TruncDay("added")).values("day").annotate(n=models.Count("id"))
    assert [row["n"] for row in by_day] == [100]
    page = list(Product.objects.select_related("category").order_by("-price", "name")[10:20])
    assert [p.name for p in page] == [f"thing {n}" for n in range(89, 79, -1)]
    with transaction.atomic():
        product = Product.objects.select_for_update().get(name="thing 5")
        product.stock -= 1
        product.save(update_fields=["stock"])
        try:
            with transaction.atomic():
                Product.objects.create(category=product.category, name="thing 5", price=1)
        except IntegrityError as error:
            assert "one_name_per_category" in str(error), error
        else:
            raise AssertionError("the unique constraint did not hold")
    assert Product.objects.get(name="thing 5").stock == 1004
    try:
        with transaction.atomic():
            Product.objects.filter(name="thing 6").update(price=-1)
    except IntegrityError as error:
        assert "price_not_negative" in str(error), error
    # The foreign key is deferred to the commit, as Django declares it.
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("update shop_product set category_id = 999 where name = 'thing 7'")
    except IntegrityError as error:
        assert "foreign key" in str(error), error
    else:
        raise AssertionError("the foreign key did not hold")
    assert toys.delete()[0] == 51


def admin_site():
    get_user_model().objects.create_superuser("root", "root@example.com", "pass word")
    client = Client()
    assert client.login(username="root", password="pass word")
    assert client.get("/admin/").status_code == 200
    category = Category.objects.get(name="books")
    answer = client.post("/admin/shop/product/add/", {
        "category": category.pk, "name": "Logic", "price": "12.50", "stock": "3", "tags": "thick,old", "details": '{"pages": 300}'})
    assert answer.status_code == 302, answer.content.decode()[:2000]
    logic = Product.objects.get(name="Logic")
    assert logic.tags == ["thick", "old"] and logic.details == {"pages": 300}
    assert str(logic.pk).encode() in client.get("/admin/shop/product/?category__id__exact=%d" % category.pk).content
    assert b"Added." in client.get(f"/admin/shop/product/{logic.pk}/history/").content
    assert client.post(f"/admin/shop/product/{logic.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Product.objects.filter(name="Logic").exists()


def inspectdb():
    from io import StringIO
    out = StringIO()
    call_command("inspectdb", "shop_product", stdout=out)
    text = out.getvalue()
    for piece in ("class ShopProduct(models.Model):", "models.UUIDField(primary_key=True)", "models.JSONField()",
                  "models.DecimalField(max_digits=10, decimal_places=2)", "models.ForeignKey('ShopCategory'"):
        assert piece in text, f"inspectdb lacks {piece}:\n{text}"


def main():
    migrate()
    crud()
    admin_site()
    inspectdb()
    call_command("flush", interactive=False, verbosity=0)
    for app in ("shop", "admin", "sessions", "auth", "contenttypes"):
        call_command("migrate", app, "zero", verbosity=0)
    print("ok")


main()
